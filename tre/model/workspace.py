"""What must be: a workspace, its rung on the ladder of access, and everything inside it."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum

from tre.model.names import checked, checked_id, derived


class Access(IntEnum):
    """The rung. Planning raises it one rung a pass, and lowers it at once."""

    LOCKED = 0
    """No people, sessions, mounts or credentials; storage stays."""
    WALLED = 1
    """The wall stands, nothing is behind it."""
    MOUNTED = 2
    """Data and credentials are behind the wall, people are not."""
    OPEN = 3
    """Members may attach."""


class Capability(StrEnum):
    """What a backend can enforce. Described only where it is really enforced; demanded by profiles."""

    NETWORK_DENY_ALL = "network-deny-all"
    READ_ONLY_MOUNT = "read-only-mount"
    RECURSIVE_READ_ONLY = "recursive-read-only"
    CPU_LIMIT = "cpu-limit"
    MEMORY_LIMIT = "memory-limit"
    PROCESS_LIMIT = "process-limit"
    STORAGE_QUOTA = "storage-quota"
    GPU = "gpu"
    WHOLE_NODE = "whole-node"
    INTERACTIVE_SESSION = "interactive-session"
    BATCH_JOBS = "batch-jobs"
    ENCRYPTED_STORAGE = "encrypted-storage"
    SEPARATE_MEMBERS = "separate-members"
    FREEZE = "freeze"
    CHANGES = "changes"
    SERVICES = "services"


@dataclass(frozen=True, slots=True, order=True)
class WorkspaceRef:
    """Names one workspace for ever: unique per (installation, workspace); a generation is never reused."""

    installation: str
    workspace: str
    backend: str
    generation: int

    def __post_init__(self) -> None:
        checked_id(self.installation, "installation id")
        checked_id(self.workspace, "workspace id")
        checked(self.backend, "backend name")
        if self.generation < 1:
            message = f"a generation counts from 1, got {self.generation}"
            raise ValueError(message)

    @property
    def mark(self) -> str:
        """The mark every far-side thing carries: 57 characters at most of lower-case base32, digits and hyphens."""
        return f"tre-{self.installation}-{self.workspace}-{self.generation}"

    @property
    def far_name(self) -> str:
        """The derived far-side name (D11), valid as a folder, a label and an account prefix."""
        return derived("tre", self.installation, self.workspace, self.generation)


@dataclass(frozen=True, slots=True, order=True)
class Mount:
    """How one granted dataset appears inside: read-only at ``/data/NAME``."""

    name: str
    source: str
    """Absolute path (or, on other backends, handle) from our own catalogue, never from a permit."""
    manifest_digest: str

    def __post_init__(self) -> None:
        checked(self.name, "dataset name")


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds on what a workspace uses. None: the permit sets none."""

    cpus: int | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    storage_bytes: int | None = None
    gpus: int | None = None


class AreaKind(StrEnum):
    """A place to write. Homes exist per member, the others once."""

    HOME = "home"
    SHARED = "shared"
    IMPORT = "import"
    EXPORT = "export"


@dataclass(frozen=True, slots=True, order=True)
class Area:
    """One writable area and how long it is kept after the lock."""

    kind: AreaKind
    quota_bytes: int | None = None


@dataclass(frozen=True, slots=True, order=True)
class Environment:
    """The read-only system inside, chosen by the operator; its digest pins what the name means."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True, order=True)
class Service:
    """One address that members reach through a unix socket at ``/run/tre/services/NAME``."""

    name: str
    address: str

    def __post_init__(self) -> None:
        checked(self.name, "service name")


@dataclass(frozen=True, slots=True)
class SessionRules:
    """What a session may do; from the profile. Seconds and bytes; None: no such bound."""

    idle_s: int = 3600
    longest_s: int = 12 * 3600
    command_allowed: bool = False
    """``-- COMMAND`` and output without a terminal."""
    stream_allowed: bool = False
    bytes_out_max: int | None = None
    bytes_in_max: int | None = None


@dataclass(frozen=True, slots=True)
class Isolation:
    """The part of the wall whose change means that nobody may be inside meanwhile."""

    environment: Environment
    areas: tuple[Area, ...]
    services: tuple[Service, ...] = ()
    session: SessionRules = field(default_factory=SessionRules)


@dataclass(frozen=True, slots=True)
class WallSpec:
    """The wall: its isolation, and the instant at which the far side itself ends everything."""

    isolation: Isolation
    ends_at: datetime


@dataclass(frozen=True, slots=True, order=True)
class DesiredMember:
    """A member who may be inside: the account slot, the member's own end, the credentials' epoch and their end."""

    slot: int
    ends_at: datetime
    credential_epoch: int
    credential_ends_at: datetime
    """The end the delivered credential must reach at least; at most `ends_at`."""


@dataclass(frozen=True, slots=True)
class DesiredWorkspace:
    """What must be. `members` and `mounts` are what OPEN means; `access` says how much of it holds now."""

    ref: WorkspaceRef
    access: Access
    wall: WallSpec
    limits: Limits
    mounts: tuple[Mount, ...]
    members: tuple[DesiredMember, ...]
    demanded: frozenset[Capability] = frozenset()

    @property
    def ends_at(self) -> datetime:
        """The end of the workspace: no member's end is later."""
        return self.wall.ends_at
