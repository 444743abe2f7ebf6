"""The audit record: proof of what happened. Holds person ids and digests, never names or secrets."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from tre.model.canonical import Json

GENESIS: Final = "0" * 64


class RecordKind(StrEnum):
    """The closed set of record kinds."""

    GENESIS = "genesis"
    INTENT = "intent"
    OUTCOME = "outcome"
    MESSAGE_RECEIVED = "message-received"
    MESSAGE_REFUSED = "message-refused"
    PERMIT_ACCEPTED = "permit-accepted"
    STATUS_ACCEPTED = "status-accepted"
    PERMIT_EXPIRED = "permit-expired"
    SIGNED_OFF = "signed-off"
    WORKSPACE_ORDERED = "workspace-ordered"
    ORDER_GIVEN = "order-given"
    DECISION = "decision"
    CONDITION_CHANGED = "condition-changed"
    PROBED = "probed"
    BREACH_SIGNAL = "breach-signal"
    SESSION_OPENED = "session-opened"
    SESSION_REFUSED = "session-refused"
    SESSION_ENDED = "session-ended"
    CREDENTIAL_OPENED = "credential-opened"
    CREDENTIAL_ISSUED = "credential-issued"
    CREDENTIAL_DEAD = "credential-dead"
    LOCK_PROVED = "lock-proved"
    RESIDUE_SCANNED = "residue-scanned"
    PURGED = "purged"
    CERTIFIED = "certified"
    DATASET_ADDED = "dataset-added"
    DATASET_VERIFIED = "dataset-verified"
    TRUST_ADDED = "trust-added"
    TRUST_REVOKED = "trust-revoked"
    APPROVAL_REQUESTED = "approval-requested"
    APPROVAL_STATED = "approval-stated"
    APPROVAL_CARRIED_OUT = "approval-carried-out"
    POLICY_ACTIVATED = "policy-activated"
    VAULT = "vault"
    STORE = "store"
    CONTROLLER = "controller"
    CLOCK_DOUBT = "clock-doubt"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What to record; the store gives it its place, time and hash when it commits."""

    kind: RecordKind
    actor: str
    subject: str
    """A workspace id, a permit key, a dataset name, … : what it is about."""
    detail: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One link of the chain. `hash` = SHA-256 over the canonical JSON of all other fields; `prev` is the one before."""

    sequence: int
    at: datetime
    kind: RecordKind
    actor: str
    subject: str
    detail: Mapping[str, Json]
    prev: str
    hash: str


@dataclass(frozen=True, slots=True)
class ChainHead:
    """Where the chain stands. An empty chain has sequence 0 and the genesis hash."""

    sequence: int
    hash: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed head: Ed25519 by the vault's transit key over the canonical JSON of the other fields."""

    installation: str
    sequence: int
    hash: str
    at: datetime
    key: str
    """Name and version of the transit key, ``tre-checkpoint:1``."""
    signature: str
    """Base64 (standard, padded)."""
