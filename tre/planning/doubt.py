"""Whether the clock can be believed (design section 7). Pure: marks in, a verdict and the next mark out."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class ClockMark:
    """What the clocks showed at the last undoubted pass: the high-water mark of time."""

    wall: datetime
    boot_id: str
    boot_s: float


@dataclass(frozen=True, slots=True)
class ClockRules:
    """Seconds. `tolerance_s`: wall against boot time within one boot; `gap_s`: the longest absence across a boot."""

    tolerance_s: float = 30.0
    gap_s: float = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class ClockVerdict:
    """`doubt`: why the clock is not believed, or None. `rested`: no undoubted pass in the last `gap_s`."""

    doubt: str | None
    rested: bool


def judge(last: ClockMark | None, seen: ClockMark, rules: ClockRules) -> ClockVerdict:
    """Compare what the clocks show with the last undoubted pass. The first pass ever is believed."""
    if last is None:
        return ClockVerdict(None, rested=False)
    moved = (seen.wall - last.wall).total_seconds()
    if seen.boot_id == last.boot_id:
        passed = seen.boot_s - last.boot_s
        rested = passed > rules.gap_s
        if abs(moved - passed) > rules.tolerance_s:
            return ClockVerdict(f"wall time moved {moved:.0f} s while {passed:.0f} s passed", rested)
        return ClockVerdict(None, rested)
    if moved < 0:
        return ClockVerdict(f"wall time is {-moved:.0f} s before the high-water mark, after a boot", rested=True)
    if seen.wall - last.wall > timedelta(seconds=rules.gap_s):
        return ClockVerdict(f"wall time is {moved:.0f} s past the high-water mark, after a boot", rested=True)
    return ClockVerdict(None, rested=False)
