"""The facts a store keeps. Each is immutable, has an identity, and belongs to one key under which it is found.

Everything that must be is a fold over these and the clock; nothing else is remembered.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from tre.model.condition import Condition
from tre.model.order import LineageKey
from tre.model.probe import ProbeResult
from tre.model.workspace import Access, WorkspaceRef


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message of an issuer was accepted or refused for good; its id is used up (V-03)."""

    fact: ClassVar[str] = "message-received"
    issuer: str
    message_id: str
    raw_digest: str
    channel: str
    refused: tuple[str, ...]
    """Findings that refused it; () when it was accepted."""
    at: datetime


@dataclass(frozen=True, slots=True)
class PermitVersion:
    """An accepted version of a permit. The text itself, with its names, is a blob under `raw_digest`."""

    fact: ClassVar[str] = "permit-version"
    permit: LineageKey
    version: int
    permit_id: str
    message_id: str
    raw_digest: str
    kid: str
    not_before: datetime
    not_after: datetime
    legal_status: str
    issued_at: datetime
    received_at: datetime
    channel: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expired:
    """The first time a lineage was found past its end by an undoubted clock. Final."""

    fact: ClassVar[str] = "expired"
    permit: LineageKey
    not_after: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class SignOff:
    """A named human signed off a condition that no machine rule can enforce (V-17)."""

    fact: ClassVar[str] = "sign-off"
    permit: LineageKey
    version: int
    condition: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace was ordered: for one permit, on one backend."""

    fact: ClassVar[str] = "workspace"
    ref: WorkspaceRef
    permit: LineageKey
    profile: str
    environment: str
    environment_digest: str
    ordered_by: str
    at: datetime
    canary_slot: int


@dataclass(frozen=True, slots=True)
class Member:
    """A permitted person's number in a workspace. Slots count through the installation and are never reused."""

    fact: ClassVar[str] = "member"
    workspace: str
    person: str
    slot: int
    at: datetime


@dataclass(frozen=True, slots=True)
class CredentialEpoch:
    """A new epoch of a member's credentials was opened. An epoch that was locked out is never used again."""

    fact: ClassVar[str] = "credential-epoch"
    workspace: str
    slot: int
    epoch: int
    at: datetime


@dataclass(frozen=True, slots=True)
class CredentialIssued:
    """A secret of an epoch was minted. The accessor can revoke it and show it dead, and is not the secret."""

    fact: ClassVar[str] = "credential-issued"
    workspace: str
    slot: int
    epoch: int
    accessor: str
    ends_at: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class CredentialClosed:
    """An epoch is over: it is being revoked, and no secret of it may be issued again."""

    fact: ClassVar[str] = "credential-closed"
    workspace: str
    slot: int
    epoch: int
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CredentialDead:
    """All credentials of an epoch were proved dead, and how."""

    fact: ClassVar[str] = "credential-dead"
    workspace: str
    slot: int
    epoch: int
    method: str
    at: datetime


@dataclass(frozen=True, slots=True)
class LockProved:
    """A workspace was locked for good and the lock was proved. `at` is when the proof was complete."""

    fact: ClassVar[str] = "lock-proved"
    workspace: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Purged:
    """A workspace was purged, scanned by another process, and certified."""

    fact: ClassVar[str] = "purged"
    workspace: str
    certificate_digest: str
    at: datetime


class FootprintKind(StrEnum):
    """What a name in the footprint names."""

    MARK = "mark"
    PATH = "path"
    UID = "uid"
    ACCOUNT = "account"
    CGROUP = "cgroup"
    VAULT_ENTITY = "vault-entity"
    VAULT_PATH = "vault-path"
    VOLUME = "volume"
    NODE = "node"
    SOCKET = "socket"


@dataclass(frozen=True, slots=True, order=True)
class FootprintItem:
    """One name that a workspace ever used; stored before the first effect on it."""

    fact: ClassVar[str] = "footprint"
    workspace: str
    kind: FootprintKind
    value: str


@dataclass(frozen=True, slots=True)
class Footprint:
    """Everything a workspace ever used: what the residue scan looks at."""

    ref: WorkspaceRef
    items: tuple[FootprintItem, ...]


@dataclass(frozen=True, slots=True)
class Residue:
    """Something of a purged workspace that is still there."""

    kind: FootprintKind
    value: str
    detail: str


class TrustPurpose(StrEnum):
    """What a trusted key may sign."""

    ISSUER = "issuer"
    APPROVER = "approver"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class TrustEntry:
    """A key we trust, for one purpose, within limits. The algorithm is pinned to the key."""

    fact: ClassVar[str] = "trust"
    kid: str
    purpose: TrustPurpose
    algorithm: str
    """ES256 or EdDSA"""
    public_key: str
    """PEM, SubjectPublicKeyInfo"""
    holder: str
    """The issuer id (a URL) for issuers; the person's id for approvers and auditors."""
    profiles: tuple[str, ...]
    """Profiles for which this issuer's permits may be used; () means all but ``local``."""
    datasets: tuple[str, ...]
    """Dataset ids this issuer may grant; () means any."""
    longest_days: int | None
    valid_from: datetime
    valid_until: datetime
    added_by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class TrustRevoked:
    """A key is no longer trusted; everything received from it at or after `compromised_since` is suspended."""

    fact: ClassVar[str] = "trust-revoked"
    kid: str
    compromised_since: datetime | None
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """An act that needs two people. Approvers sign over `content_digest`; `content` is its canonical JSON."""

    fact: ClassVar[str] = "approval-request"
    request: str
    act: str
    content: str
    content_digest: str
    requested_by: str
    at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ApprovalStatement:
    """A registered approver's signed yes or no to one request."""

    fact: ClassVar[str] = "approval-statement"
    request: str
    approver: str
    kid: str
    approves: bool
    statement: str
    """The JWS, verifiable offline."""
    at: datetime


@dataclass(frozen=True, slots=True)
class ApprovalCarriedOut:
    """The act of a request was carried out, once."""

    fact: ClassVar[str] = "approval-carried-out"
    request: str
    at: datetime


@dataclass(frozen=True, slots=True)
class BundleActivated:
    """The policy bundle that is in force from now on."""

    fact: ClassVar[str] = "bundle-activated"
    digest: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Certificate:
    """A signed deletion certificate; its JSON is a blob under `digest`."""

    fact: ClassVar[str] = "certificate"
    workspace: str
    digest: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ProbeRun:
    """The results of one canary run at one rung. Part of the status, so that only the last ones are kept."""

    rung: Access
    basis: str
    """Digest of the isolation and the mounts that were probed: another basis needs another run."""
    results: tuple[ProbeResult, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class WorkspaceStatus:
    """What the last pass found. A view, never a source of decisions (but for the age of probes)."""

    workspace: str
    access: Access
    conditions: tuple[Condition, ...]
    probe_runs: tuple[ProbeRun, ...]
    ends_at: datetime | None
    sessions: int
    drifts: tuple[str, ...]
    observed_at: datetime
    observed_version: int
    next_look_at: datetime
    problem: str | None = None
