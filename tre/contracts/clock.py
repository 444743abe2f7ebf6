"""Time is a parameter."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The three clocks of one machine, read only through here."""

    def now(self) -> datetime:
        """Wall time, aware UTC."""
        ...

    def boot(self) -> tuple[str, float]:
        """An id of this boot, and seconds since it, suspended time included."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for measuring how long something took."""
        ...
