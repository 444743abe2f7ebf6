"""What is there, facet by facet: known, or unknown with its cause. Absent is known, and never an error (D2)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeAlias, TypeVar

from tre.model.workspace import Limits, Mount, WallSpec, WorkspaceRef

V_co = TypeVar("V_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Known(Generic[V_co]):
    """A facet that was read."""

    value: V_co


@dataclass(frozen=True, slots=True)
class Unknown:
    """A facet that could not be read, and why, in one stable sentence."""

    cause: str


Facet: TypeAlias = Known[V_co] | Unknown


@dataclass(frozen=True, slots=True, order=True)
class HeldCredential:
    """Credentials of one epoch delivered to one account, and the end they carry on the far side."""

    slot: int
    epoch: int
    ends_at: datetime


@dataclass(frozen=True, slots=True, order=True)
class Admission:
    """An account that may attach until `ends_at`. The far side's own gate, not our memory of it."""

    slot: int
    ends_at: datetime


@dataclass(frozen=True, slots=True, order=True)
class LiveSession:
    """A running session: id, whose, its own absolute end, and the mounts inside it as they were when it began."""

    session: str
    slot: int
    ends_at: datetime
    mounts: tuple[Mount, ...]


@dataclass(frozen=True, slots=True)
class ObservedWorkspace:
    """The world as it is, in normal form (D4): sorted tuples, None or () for absent."""

    ref: WorkspaceRef
    wall: Facet[WallSpec | None]
    limits: Facet[Limits | None]
    mounts: Facet[tuple[Mount, ...]]
    credentials: Facet[tuple[HeldCredential, ...]]
    people: Facet[tuple[Admission, ...]]
    sessions: Facet[tuple[LiveSession, ...]]
    storage: Facet[tuple[str, ...]]
    """Far-side names of everything kept on disk for this workspace, half-made things included."""
    busy: str | None = None
    """What the far side is still working on, if it is."""

    @classmethod
    def absent(cls, ref: WorkspaceRef) -> "ObservedWorkspace":
        """A workspace of which nothing exists."""
        none: Known[None] = Known(None)
        return cls(ref, none, none, Known(()), Known(()), Known(()), Known(()), Known(()))

    @classmethod
    def unknown(cls, ref: WorkspaceRef, cause: str) -> "ObservedWorkspace":
        """A workspace of which nothing could be read."""
        u = Unknown(cause)
        return cls(ref, u, u, u, u, u, u, u)

    @property
    def facets(self) -> "tuple[Facet[object], ...]":
        """All facets, in the order wall, limits, mounts, credentials, people, sessions, storage."""
        return (
            self.wall,
            self.limits,
            self.mounts,
            self.credentials,
            self.people,
            self.sessions,
            self.storage,
        )

    @property
    def fully_known(self) -> bool:
        """Whether every facet was read."""
        return all(isinstance(facet, Known) for facet in self.facets)

    @property
    def gone(self) -> bool:
        """Whether every facet is known to be absent, and nothing is being worked on."""
        return self.busy is None and all(isinstance(f, Known) and not f.value for f in self.facets)
