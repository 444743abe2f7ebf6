"""The driver contract. The promises D1-D25 are in `docs/contracts/driver.md`, each tested by `tre.testing`."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from threading import Event
from typing import Protocol, TypeAlias

from tre.model.facts import FootprintItem
from tre.model.observed import ObservedWorkspace
from tre.model.probe import ProbePlan, ProbeResult
from tre.model.step import Outcome, Pending, Step
from tre.model.workspace import Capability, DesiredWorkspace, WorkspaceRef

CONTRACT_VERSION = 1


class CheckDepth(StrEnum):
    """How far `check` goes: SETTINGS changes nothing; CANARY really tries, and leaves nothing after its own end."""

    SETTINGS = "settings"
    CANARY = "canary"


class FenceReach(StrEnum):
    """How far the far side itself refuses an old leader (D25)."""

    EVERY_STEP = "every-step"
    SOME_STEPS = "some-steps"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class DriverInfo:
    """What a driver can ever do: constant for one configuration."""

    driver: str
    kind: str
    """The permit's word for this kind of backend (`permit-model.md`, ``spe.backends``)."""
    contract_version: int
    capabilities: frozenset[Capability]
    fencing: FenceReach
    step_limit_s: float
    sentences: tuple[str, ...] = ()
    """What it cannot separate or prove, in sentences for status and certificate."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is missing on this backend, and the command or setting that mends it."""

    text: str
    hint: str
    capability: Capability | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """What the backend can do now. A capability not in here is never used (D17)."""

    capabilities: frozenset[Capability]
    problems: tuple[Problem, ...]
    at: datetime


class Driver(Protocol):
    """Keeps workspaces on one backend equal to what is desired.

    Built fresh at any time, on any machine: nothing that matters may live in the object. Per tick the controller
    calls observe, plan per workspace, then perform, grouping steps of one kind over many workspaces; it may stop
    after any step and begin again. Errors are Transient, Permanent and Refused, cause chained (D15).
    """

    def describe(self) -> DriverInfo:
        """What the driver can ever do. Constant, no I/O."""
        ...

    def check(self, depth: CheckDepth) -> Health | Pending:
        """What this backend can do now."""
        ...

    def footprint(self, desired: DesiredWorkspace, canary_slot: int) -> tuple[FootprintItem, ...]:
        """Pure: every far-side name that fulfilling `desired` will use, to be stored before the first effect."""
        ...

    def observe(self, refs: Collection[WorkspaceRef]) -> Mapping[WorkspaceRef, ObservedWorkspace]:
        """Read the world. Every ref is answered, absent ones as absent, unreadable ones as Unknown."""
        ...

    def plan(self, desired: DesiredWorkspace | None, observed: ObservedWorkspace) -> tuple[Step, ...]:
        """Pure: the steps from observed to desired, in order. None: nothing may remain. () means converged."""
        ...

    def perform(self, steps: Sequence[Step], fence: int) -> tuple[Outcome, ...]:
        """Perform steps of one kind for distinct workspaces; one outcome each, in order."""
        ...

    def probe(self, ref: WorkspaceRef, canary_slot: int, probes: ProbePlan) -> tuple[ProbeResult, ...] | Pending:
        """Run the canary inside (or, for LOCKED, knock from outside). Leaves nothing after the canary's end (D1)."""
        ...

    def inventory(self) -> Iterable[WorkspaceRef]:
        """Everything on the far side that bears our mark (D14)."""
        ...


@dataclass(frozen=True, slots=True)
class Terminal:
    """An interactive terminal of this size."""

    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class Command:
    """A program and its arguments, run without a terminal. Never a shell string."""

    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stream:
    """A byte stream to an application listening inside on this port, without a network."""

    port: int


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """Who, until when, and what."""

    session: str
    slot: int
    ends_at: datetime
    idle_s: int
    mode: Terminal | Command | Stream
    bytes_out_max: int | None = None
    bytes_in_max: int | None = None


class EndReason(StrEnum):
    """Why a session ended."""

    EXITED = "exited"
    ENDED_AT = "reached its end"
    IDLE = "was idle too long"
    BYTE_CAP = "reached its byte cap"
    CLOSED = "was closed by its user"
    ENDED_BY_ORDER = "was ended"


@dataclass(frozen=True, slots=True)
class Output:
    """Bytes from inside. `stream` 1 or 2; a terminal has only 1."""

    data: bytes
    stream: int = 1


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over. `exit_status` as a shell would give it, None when it was ended from outside."""

    reason: EndReason
    exit_status: int | None
    bytes_in: int
    bytes_out: int


SessionEvent: TypeAlias = Output | Ended


class Session(Protocol):
    """A live connection into a workspace. It ends at `ends_at` with or without us."""

    @property
    def session(self) -> str:
        """The id given in the request."""
        ...

    @property
    def ends_at(self) -> datetime:
        """The absolute end, kept outside this process."""
        ...

    def fileno(self) -> int:
        """A descriptor that becomes readable when `receive` has something."""
        ...

    def send(self, data: bytes) -> None:
        """Send input."""
        ...

    def send_eof(self) -> None:
        """Close the input."""
        ...

    def resize(self, size: Terminal) -> None:
        """Tell the terminal's new size."""
        ...

    def receive(self, timeout_s: float | None) -> SessionEvent | None:
        """The next event; None after `timeout_s`. After Ended, Ended again."""
        ...

    def close(self) -> None:
        """Leave: the far side ends the session. Idempotent."""
        ...


class SessionHost(Protocol):
    """Capability INTERACTIVE_SESSION."""

    def attach(self, ref: WorkspaceRef, request: SessionRequest) -> Session | Pending:
        """Begin a session, admitted by far-side state under the lock that LOCKED sets (D24); else Refused."""
        ...


class ChangeSource(Protocol):
    """Capability CHANGES. It only pokes; silence beyond its bound falls back to the sweep."""

    def run(self, poke: Callable[[WorkspaceRef], None], stop: Event) -> None:
        """Poke a workspace whenever the far side changed it, until `stop` is set."""
        ...
