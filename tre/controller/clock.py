"""The machine's own clocks."""

import time
from datetime import UTC, datetime
from pathlib import Path


class SystemClock:
    """Wall, boot and monotonic time of this machine. Boot time goes on while the machine sleeps."""

    def now(self) -> datetime:
        """Wall time, aware UTC."""
        return datetime.now(UTC)

    def boot(self) -> tuple[str, float]:
        """The kernel's id of this boot, and the seconds since."""
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip(), time.clock_gettime(
            time.CLOCK_BOOTTIME
        )

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()
