"""The memory authority is held to the suite of the real one."""

from itertools import count
from pathlib import Path

import pytest

from tre.contracts.credentials import CredentialHandle
from tre.model.workspace import WorkspaceRef
from tre.testing.authority_suite import AuthorityKit, AuthoritySuite
from tre.testing.clock import FakeClock
from tre.testing.memory_authority import MemoryAuthority


@pytest.fixture
def kit(tmp_path: Path) -> AuthorityKit:
    clock, numbers = FakeClock(), count(1)
    authority = MemoryAuthority(tmp_path / "vault.json", clock)
    return AuthorityKit(
        build=lambda: MemoryAuthority(tmp_path / "vault.json", clock),
        accepts=authority.accepts,
        handle=lambda: CredentialHandle(WorkspaceRef("a" * 16, "b" * 16, "memory", 1), 1, next(numbers)),
        clock=clock,
        wait=clock.advance,
        outage=lambda sealed: authority.seal(sealed=sealed),
    )


class TestMemoryAuthority(AuthoritySuite):
    """Every promise."""
