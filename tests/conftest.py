"""For all tests: skips are errors in CI; what a test started must be gone."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped, which is an error in CI: {report.longrepr}"


def _leftovers() -> list[str]:
    """Our groups on this machine. Other runs of the suite on one machine would show here too."""
    return [str(p) for p in Path("/sys/fs/cgroup").glob("*/tre-*")]


@pytest.fixture(scope="session", autouse=True)
def _machine_is_left_as_found() -> Iterator[None]:
    before = set(_leftovers())
    yield
    left = [p for p in _leftovers() if p not in before]
    if "PYTEST_XDIST_WORKER" not in os.environ:
        assert not left, f"control groups were left: {left}"
