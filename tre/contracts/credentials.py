"""The credential authority: issues leases that end on their own, revokes them, and proves them dead."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from tre.model.secret import Secret
from tre.model.workspace import WorkspaceRef


@dataclass(frozen=True, slots=True, order=True)
class CredentialHandle:
    """Names the credentials of one epoch without being one: everything in it may be stored and shown."""

    ref: WorkspaceRef
    slot: int
    epoch: int

    @property
    def entity(self) -> str:
        """The derived name of the vault entity: `far_name` of the workspace, slot and epoch."""
        return f"{self.ref.far_name}-s{self.slot}-e{self.epoch}"


@dataclass(frozen=True, slots=True)
class Lease:
    """A short-lived secret with an end that the authority itself keeps."""

    handle: CredentialHandle
    accessor: str
    secret: Secret
    ends_at: datetime


class Death(StrEnum):
    """What a proof of death came to. INCONCLUSIVE is never read as DEAD."""

    DEAD = "dead"
    ALIVE = "alive"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class DeathProof:
    """`method` says how it was shown: ``lookup``, ``lookup+trial``, or why it could not be."""

    death: Death
    method: str


@dataclass(frozen=True, slots=True)
class AuthorityInfo:
    """What the authority can do: constant for one configuration."""

    name: str
    version: str
    longest_lease_s: int
    signs_checkpoints: bool


class CredentialAuthority(Protocol):
    """Promises C1-C10 in `docs/contracts/credential-authority.md`; suite in `tre.testing.authority_suite`.

    All calls are idempotent, return within 10 s, and raise only Transient, Permanent or Refused. Built fresh at any
    time: nothing that matters lives in the object.
    """

    def describe(self) -> AuthorityInfo:
        """What this authority is. Transient when it does not answer."""
        ...

    def footprint(self, handle: CredentialHandle) -> tuple[str, ...]:
        """Pure: every name on the far side that this epoch will ever use, to be stored before `issue`."""
        ...

    def issue(self, handle: CredentialHandle, ends_at: datetime) -> Lease:
        """Give a secret whose life ends at or before `ends_at` whatever happens to us.

        Makes the epoch's entity when absent. Refused when the epoch was revoked (an epoch is never re-enabled) or
        `ends_at` is not in the authority's future.
        """
        ...

    def renew(self, lease: Lease, ends_at: datetime) -> Lease:
        """Lengthen a lease up to `ends_at`, never past the end it was issued with; else Refused."""
        ...

    def revoke(self, handle: CredentialHandle, accessors: Collection[str]) -> None:
        """End every credential of the epoch, known to us or not, and every further minting, for good.

        Needs no accessor; known ones are revoked besides. Succeeds when there is nothing: the epoch is closed all the
        same. What is left on the far side is a disabled tombstone that can never be enabled again.
        """
        ...

    def prove_dead(self, handle: CredentialHandle, accessors: Collection[str]) -> DeathProof:
        """Ask from outside whether any credential of the epoch lives. Changes nothing; never raises Transient.

        In the same run the authority must accept a live control token; sealed, 5xx or a time-out is INCONCLUSIVE.
        """
        ...

    def inventory(self) -> tuple[str, ...]:
        """The entity names on the far side that bear this installation's mark."""
        ...


class CheckpointSigner(Protocol):
    """Signs the record's checkpoints with a key that never leaves the vault."""

    def sign(self, message: bytes) -> tuple[str, str]:
        """Return (key name and version, base64 signature) of an Ed25519 signature. Transient while sealed."""
        ...

    def public_keys(self) -> dict[str, str]:
        """Every version of the key: name and version to PEM."""
        ...
