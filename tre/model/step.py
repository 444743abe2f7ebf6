"""One small far-side change, and what came of it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from tre.model.observed import Admission, HeldCredential
from tre.model.workspace import DesiredMember, Limits, Mount, WallSpec, WorkspaceRef


class Verb(StrEnum):
    """What a step does. Ensuring what is there and removing what is absent both succeed (D8)."""

    ENSURE = "ensure"
    REMOVE = "remove"
    CAPTURE = "capture"


class Part(StrEnum):
    """What a step acts on; the members stand in the order in which a workspace is built up (D7)."""

    WALL = "wall"
    LIMITS = "limits"
    MOUNTS = "mounts"
    CREDENTIALS = "credentials"
    PEOPLE = "people"
    SESSIONS = "sessions"
    STORAGE = "storage"


StepValue: TypeAlias = (
    WallSpec
    | Limits
    | tuple[Mount, ...]
    | tuple[HeldCredential, ...]
    | tuple[Admission, ...]
    | tuple[DesiredMember, ...]
    | tuple[str, ...]
    | tuple[int, ...]
    | None
)


@dataclass(frozen=True, slots=True)
class Step:
    """One change of one kind to one workspace.

    `value` by kind:

    * ensure wall: `WallSpec` (also makes the storage areas it names) · ensure limits: `Limits`
    * ensure mounts: the full tuple of `Mount` that must be there afterwards, those and no others
    * ensure credentials: tuple of `HeldCredential` to deliver; others stay
    * ensure people: the full tuple of `Admission` that must hold afterwards, those and no others
    * remove people, credentials: tuple of slots, or None for all, those found by mark included
    * remove sessions: tuple of session ids, or None for all · remove mounts: tuple of names, or None for all
    * remove limits, storage, wall: None
    * capture storage: None (evidence; optional for a backend)
    """

    ref: WorkspaceRef
    verb: Verb
    part: Part
    value: StepValue = None

    @property
    def kind(self) -> tuple[Verb, Part]:
        """Steps of one kind, for distinct workspaces, may be performed in one call."""
        return (self.verb, self.part)

    @property
    def destroys(self) -> bool:
        """Whether the step takes away what cannot be made again. Holds forbid these."""
        return self.verb is Verb.REMOVE and self.part in (Part.STORAGE, Part.WALL, Part.LIMITS)

    @property
    def raises(self) -> bool:
        """Whether the step gives more than there was: an up-step."""
        return self.verb is Verb.ENSURE


@dataclass(frozen=True, slots=True)
class Done:
    """The step's effect holds now. `removed` names what really went, for the certificate."""

    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pending:
    """Accepted and not finished: look again after `retry_after_s`."""

    reason: str
    retry_after_s: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The step did not succeed: `transient` says whether trying again will help."""

    reason: str
    transient: bool
    retry_after_s: float | None = None


Outcome: TypeAlias = Done | Pending | Failed
