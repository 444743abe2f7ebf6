"""Instants and the calendar rules on them. All times are aware UTC datetimes; intervals are half-open."""

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_RFC3339: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


def parse_instant(text: str) -> datetime:
    """Parse ``YYYY-MM-DDTHH:MM:SSZ``, the only spelling accepted from outside; else raise ValueError (V-06)."""
    if not isinstance(text, str) or not _RFC3339.fullmatch(text):
        message = f"not a UTC instant YYYY-MM-DDTHH:MM:SSZ: {ascii(text)[:40]}"
        raise ValueError(message)
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def format_instant(instant: datetime) -> str:
    """Write an instant as ``YYYY-MM-DDTHH:MM:SSZ``, cut (never rounded up) to the second."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def add_months(instant: datetime, months: int) -> datetime:
    """Add calendar months, clamping to the end of the month: 31 August + 6 months is the last of February."""
    month0 = instant.year * 12 + instant.month - 1 + months
    year, month = divmod(month0, 12)
    day = min(instant.day, calendar.monthrange(year, month + 1)[1])
    return instant.replace(year=year, month=month + 1, day=day)


@dataclass(frozen=True, slots=True)
class Window:
    """The half-open interval ``[not_before, not_after)``."""

    not_before: datetime
    not_after: datetime

    def contains(self, now: datetime) -> bool:
        """Whether `now` is at or after the start and before the end."""
        return self.not_before <= now < self.not_after
