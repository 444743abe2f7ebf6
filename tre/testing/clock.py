"""A clock that tests set."""

from datetime import UTC, datetime, timedelta
from typing import Final

START: Final = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


class FakeClock:
    """Wall, boot and monotonic time, moved together by `advance`, apart by `jump`."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._boot = ("boot-1", 1000.0)

    def now(self) -> datetime:
        """Wall time."""
        return self._now

    def boot(self) -> tuple[str, float]:
        """Boot id and seconds since."""
        return self._boot

    def monotonic(self) -> float:
        """Seconds."""
        return self._boot[1]

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self._now += timedelta(seconds=seconds)
        self._boot = (self._boot[0], self._boot[1] + seconds)

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock: no time passes."""
        self._now += timedelta(seconds=seconds)

    def reboot(self, away_s: float) -> None:
        """The machine was off for so long."""
        self._now += timedelta(seconds=away_s)
        self._boot = (f"{self._boot[0]}+", 0.0)
