"""The memory driver is held to the suite of real ones."""

from pathlib import Path

import pytest
from memory_kit import MemoryKit

from tre.testing.driver_suite import DriverSuite
from tre.testing.kit import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(MemoryKit(tmp_path))


class TestMemoryDriver(DriverSuite):
    """Every promise."""
