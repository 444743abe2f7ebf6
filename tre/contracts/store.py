"""What is kept: facts, status, blobs and the record; and how every effect is wrapped.

A fact is a frozen dataclass of `tre.model` with a class attribute ``fact`` (its kind). It has a *key* under which
all facts about one thing are found, and an *identity*, unique within its kind. Both are functions of the fact,
listed in one table in the store.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol, TypeVar

from tre.model.canonical import Json
from tre.model.facts import WorkspaceStatus
from tre.model.record import AuditEntry, AuditRecord, ChainHead, Checkpoint
from tre.model.step import Outcome
from tre.model.workspace import WorkspaceRef


class Fact(Protocol):
    """Any fact."""

    fact: ClassVar[str]


F = TypeVar("F", bound=Fact)


class Conflict(Exception):
    """A fact with this identity exists with another content. Nothing of the transaction was kept."""


class StoreUnavailable(Exception):
    """The store cannot be read or written now: locked for too long, disk full, in recovery, or newer than us."""


class Reader(Protocol):
    """A consistent view of what was committed."""

    def facts(self, kind: type[F], key: str | None = None) -> tuple[F, ...]:
        """All facts of a kind, of one key or of all, in the order in which they were committed."""
        ...

    def fact(self, kind: type[F], identity: str) -> F | None:
        """The one fact with this identity, or None."""
        ...

    def status(self, workspace: str) -> WorkspaceStatus | None:
        """What the last pass wrote of a workspace."""
        ...

    def statuses(self) -> dict[str, WorkspaceStatus]:
        """The status of every workspace."""
        ...

    def blob(self, digest: str) -> bytes | None:
        """A blob of the side table, its digest checked; None when it was dropped or never there."""
        ...

    def setting(self, name: str) -> Json:
        """A small setting of the installation (``installation``, ``incarnation``, …); None when unset."""
        ...

    def head(self) -> ChainHead:
        """Where the chain stands."""
        ...

    def records(self, after: int = 0, limit: int | None = None, subject: str | None = None) -> Iterator[AuditRecord]:
        """Records with a sequence greater than `after`, ascending; of one subject, or of all."""
        ...

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """All checkpoints, ascending."""
        ...


class UnitOfWork(Reader, Protocol):
    """One transaction: a state change and its records, kept together or not at all."""

    def add(self, fact: Fact) -> bool:
        """Keep a fact. True when it is new, False when the same fact was there; else Conflict."""
        ...

    def allocate(self, counter: str) -> int:
        """The next number of a counter, from 1, never given twice, not even after a restore of an old backup."""
        ...

    def put_status(self, status: WorkspaceStatus) -> None:
        """Replace the status of a workspace."""
        ...

    def put_blob(self, data: bytes) -> str:
        """Keep a blob and return its SHA-256."""
        ...

    def put_setting(self, name: str, value: Json) -> None:
        """Set a small setting."""
        ...

    def put_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint."""
        ...

    def record(self, entry: AuditEntry) -> AuditRecord:
        """Append to the chain, in this transaction."""
        ...


@dataclass(frozen=True, slots=True)
class FenceToken:
    """Proof of leadership: (incarnation, lease epoch) as one growing number, and until when it is held."""

    fence: int
    holder: str
    expires_boot_s: float
    """In seconds since boot, which nobody sets."""


class Store(Protocol):
    """The one place where anything is remembered."""

    def begin(self) -> AbstractContextManager[UnitOfWork]:
        """A write transaction: committed durably at the end of the block, dropped on an exception.

        Writers wait for each other. StoreUnavailable after the store's own time limit.
        """
        ...

    def read(self) -> AbstractContextManager[Reader]:
        """A read transaction that blocks nobody."""
        ...

    def acquire_lease(self, holder: str, ttl_s: float) -> FenceToken | None:
        """Take or renew the controller's lease; None while another holder's has not run out."""
        ...

    def release_lease(self, token: FenceToken) -> None:
        """Give the lease back. Idempotent."""
        ...

    def poke(self, workspace: str) -> None:
        """Ask whoever leads to look at a workspace soon."""
        ...

    def take_pokes(self) -> tuple[str, ...]:
        """The workspaces poked since the last call."""
        ...

    def keep_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in the store and in the file outside it."""
        ...

    def in_recovery(self) -> str | None:
        """Why only lock-outs are allowed (the store is behind its outside log), or None."""
        ...


class Direction(StrEnum):
    """What an effect does to access. DOWN is never refused by a guard; DESTROY is refused under a hold."""

    UP = "up"
    DOWN = "down"
    DESTROY = "destroy"
    LOOK = "look"


@dataclass(frozen=True, slots=True)
class Intent:
    """What is about to be done to the outside world."""

    ref: WorkspaceRef
    what: str
    """A stable phrase such as ``ensure wall``."""
    direction: Direction
    detail: Json = None


class Effects(Protocol):
    """Wraps every effect: durable intent, fence, effect, outcome. The only way to the outside world.

    For each batch: one transaction re-reads orders and holds through `guard` (which raises Refused) and records the
    intents; then `effect(fence)` runs; then one transaction records the outcomes. An exception of the effect is
    recorded as a failed outcome and raised again. A fence that was lost meanwhile is Refused before the effect.
    """

    def carry_out(
        self,
        intents: Sequence[Intent],
        guard: Callable[[Reader], None],
        effect: Callable[[int], Sequence[Outcome]],
    ) -> tuple[Outcome, ...]:
        """Carry out a batch; the outcomes in the order of the intents."""
        ...
