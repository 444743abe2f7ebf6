"""The credential authority suite: C1-C10 of docs/contracts/credential-authority.md."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from tre.contracts.clock import Clock
from tre.contracts.credentials import CredentialAuthority, CredentialHandle, Death
from tre.contracts.errors import Refused, Transient
from tre.model.secret import Secret


@dataclass(frozen=True)
class AuthorityKit:
    """One authority under test."""

    build: Callable[[], CredentialAuthority]
    """An authority built anew."""
    accepts: Callable[[Secret], bool]
    """The witness: whether a secret is accepted, asked without the authority's code."""
    handle: Callable[[], CredentialHandle]
    """An epoch that never was."""
    clock: Clock
    wait: Callable[[float], None]
    outage: Callable[[bool], None]
    """Seal, and serve again."""


class AuthoritySuite:
    """Subclass it and give it a fixture ``kit`` (an `AuthorityKit`)."""

    def test_c1_an_issued_secret_works_and_names_its_end(self, kit: AuthorityKit) -> None:
        ends_at = kit.clock.now() + timedelta(seconds=60)
        lease = kit.build().issue(kit.handle(), ends_at)
        assert kit.accepts(lease.secret)
        assert lease.ends_at <= ends_at

    def test_c2_a_secret_dies_at_its_end_without_us(self, kit: AuthorityKit) -> None:
        lease = kit.build().issue(kit.handle(), kit.clock.now() + timedelta(seconds=2))
        assert kit.accepts(lease.secret)
        kit.wait(3.2)
        assert not kit.accepts(lease.secret)

    def test_c2_an_end_in_the_past_is_refused(self, kit: AuthorityKit) -> None:
        with pytest.raises(Refused):
            kit.build().issue(kit.handle(), kit.clock.now() - timedelta(seconds=1))

    def test_c3_revoking_kills_what_nobody_remembers(self, kit: AuthorityKit) -> None:
        handle, ends_at = kit.handle(), kit.clock.now() + timedelta(seconds=60)
        known, lost = kit.build().issue(handle, ends_at), kit.build().issue(handle, ends_at)
        kit.build().revoke(handle, [known.accessor])
        assert not kit.accepts(known.secret)
        assert not kit.accepts(lost.secret), "a secret whose answer was lost is dead too"

    def test_c4_a_revoked_epoch_is_never_opened_again(self, kit: AuthorityKit) -> None:
        handle, ends_at = kit.handle(), kit.clock.now() + timedelta(seconds=60)
        kit.build().issue(handle, ends_at)
        kit.build().revoke(handle, [])
        with pytest.raises(Refused):
            kit.build().issue(handle, ends_at)

    def test_c4_revoking_what_was_never_issued_closes_it(self, kit: AuthorityKit) -> None:
        handle = kit.handle()
        kit.build().revoke(handle, [])
        with pytest.raises(Refused):
            kit.build().issue(handle, kit.clock.now() + timedelta(seconds=60))
        assert kit.build().prove_dead(handle, []).death is Death.DEAD

    def test_c5_revoking_may_be_repeated(self, kit: AuthorityKit) -> None:
        handle = kit.handle()
        lease = kit.build().issue(handle, kit.clock.now() + timedelta(seconds=60))
        for _ in range(3):
            kit.build().revoke(handle, [lease.accessor, "not-an-accessor"])
        assert kit.build().prove_dead(handle, [lease.accessor]).death is Death.DEAD

    def test_c6_the_living_are_not_called_dead(self, kit: AuthorityKit) -> None:
        handle = kit.handle()
        lease = kit.build().issue(handle, kit.clock.now() + timedelta(seconds=60))
        assert kit.build().prove_dead(handle, [lease.accessor]).death is Death.ALIVE
        assert kit.build().prove_dead(handle, []).death is Death.ALIVE

    def test_c6_an_epoch_without_a_trace_proves_nothing(self, kit: AuthorityKit) -> None:
        assert kit.build().prove_dead(kit.handle(), []).death is Death.INCONCLUSIVE

    def test_c7_no_answer_is_inconclusive_never_dead(self, kit: AuthorityKit) -> None:
        handle = kit.handle()
        lease = kit.build().issue(handle, kit.clock.now() + timedelta(seconds=60))
        kit.build().revoke(handle, [lease.accessor])
        authority = kit.build()
        kit.outage(True)
        try:
            assert authority.prove_dead(handle, [lease.accessor]).death is Death.INCONCLUSIVE
        finally:
            kit.outage(False)
        assert kit.build().prove_dead(handle, [lease.accessor]).death is Death.DEAD

    def test_c8_no_answer_grants_nothing(self, kit: AuthorityKit) -> None:
        authority = kit.build()
        authority.describe()
        kit.outage(True)
        try:
            with pytest.raises(Transient):
                authority.issue(kit.handle(), kit.clock.now() + timedelta(seconds=60))
            with pytest.raises(Transient):
                authority.revoke(kit.handle(), [])
        finally:
            kit.outage(False)

    def test_c9_renewing_never_passes_the_first_end(self, kit: AuthorityKit) -> None:
        authority = kit.build()
        lease = authority.issue(kit.handle(), kit.clock.now() + timedelta(seconds=60))
        with pytest.raises(Refused):
            authority.renew(lease, lease.ends_at + timedelta(seconds=1))

    def test_c10_names_are_known_before_and_found_after(self, kit: AuthorityKit) -> None:
        handle = kit.handle()
        names = kit.build().footprint(handle)
        assert names
        assert not set(names) & set(kit.build().inventory())
        lease = kit.build().issue(handle, kit.clock.now() + timedelta(seconds=60))
        assert set(names) <= set(kit.build().inventory())
        assert lease.secret.reveal() not in repr((lease, names))
