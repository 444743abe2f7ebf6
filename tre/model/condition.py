"""Conditions: what holds of a workspace, each with a stable reason and sentence."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ConditionType(StrEnum):
    """The closed set of conditions."""

    AUTHORISED = "Authorised"
    ISOLATED = "Isolated"
    MOUNTED = "Mounted"
    CREDENTIALED = "Credentialed"
    ADMITTED = "Admitted"
    READY = "Ready"
    LOCKED = "Locked"
    CLOSING = "Closing"


class Truth(StrEnum):
    """Unknown is a truth value of its own, and never read as False."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Reason(StrEnum):
    """Why a condition is as it is. Closed, so that people can look each one up."""

    AS_DESIRED = "AsDesired"
    NOT_YET = "NotYet"
    NOT_DESIRED = "NotDesired"
    PERMIT_ACTIVE = "PermitActive"
    PERMIT_PENDING = "PermitPending"
    PERMIT_NOT_YET_VALID = "PermitNotYetValid"
    PERMIT_SUSPENDED = "PermitSuspended"
    PERMIT_REVOKED = "PermitRevoked"
    PERMIT_EXPIRED = "PermitExpired"
    POLICY_DENIED = "PolicyDenied"
    CLOSED_BY_ORDER = "ClosedByOrder"
    PROBES_PENDING = "ProbesPending"
    PROBE_SUCCEEDED = "ProbeSucceeded"
    PROBE_INCONCLUSIVE = "ProbeInconclusive"
    PROBES_STALE = "ProbesStale"
    CAPABILITY_MISSING = "CapabilityMissing"
    DATASET_MISMATCH = "DatasetMismatch"
    DRIFT = "Drift"
    BACKEND_UNKNOWN = "BackendUnknown"
    BACKEND_FAILED = "BackendFailed"
    VAULT_UNAVAILABLE = "VaultUnavailable"
    CREDENTIALS_PENDING = "CredentialsPending"
    SESSIONS_LIVE = "SessionsLive"
    LOCK_PENDING = "LockPending"
    LOCK_PROVED = "LockProved"
    CLOCK_DOUBT = "ClockDoubt"
    HELD = "Held"
    PURGE_WAITS = "PurgeWaits"
    PURGING = "Purging"
    RESIDUE_FOUND = "ResidueFound"
    RESIDUE_UNKNOWN = "ResidueUnknown"
    PURGED = "Purged"
    RECOVERY = "Recovery"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition. `since` changes only when `truth` does; a second look at the same trouble changes nothing."""

    type: ConditionType
    truth: Truth
    reason: Reason
    sentence: str
    observed_version: int
    since: datetime
