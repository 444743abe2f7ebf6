"""Negative probes: attempts from inside (or, after a lock, from outside) that must fail."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tre.model.workspace import Access


class ProbeClass(StrEnum):
    """What a probe proves (`controls.md` 4.5). A profile lists the classes it requires for each rung."""

    NETWORK = "network"
    DNS = "dns"
    METADATA = "metadata"
    UNIX_SOCKET = "unix-socket"
    HOST_PROCESS = "host-process"
    PRIVILEGE = "privilege"
    FOREIGN_WORKSPACE = "foreign-workspace"
    FOREIGN_DATASET = "foreign-dataset"
    DATASET_WRITE = "dataset-write"
    OLD_CREDENTIAL = "old-credential"
    LOGIN = "login"
    STREAM = "stream"
    PROCESS = "process"
    RESIDUAL_MOUNT = "residual-mount"


class Verdict(StrEnum):
    """What came of an attempt. Only REFUSED proves a control; UNANSWERED counts neither way."""

    REFUSED = "refused"
    SUCCEEDED = "succeeded"
    INCONCLUSIVE = "inconclusive"
    UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """An address that the wall must keep out of reach. `port` 0: the address only (a path or abstract name)."""

    probe_class: ProbeClass
    address: str
    port: int = 0


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """What to try. On WALLED the wall's classes; on MOUNTED and OPEN the data's too; on LOCKED outside-in."""

    rung: Access
    classes: frozenset[ProbeClass]
    granted: tuple[str, ...] = ()
    """Names of the datasets that are mounted: each is tried for writing."""
    foreign_paths: tuple[tuple[ProbeClass, str], ...] = ()
    """Host paths of decoys that exist and must not be reachable: another workspace, a dataset not granted."""
    targets: tuple[ProbeTarget, ...] = ()
    slots: tuple[int, ...] = ()
    """After a lock: accounts whose login must be refused."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One attempt and its verdict. `detail` is one line without secrets."""

    name: str
    probe_class: ProbeClass
    verdict: Verdict
    detail: str
    at: datetime
