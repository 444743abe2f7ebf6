"""Orders: immutable facts that change what must be."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, TypeAlias

from tre.model.names import derived


class OrderKind(StrEnum):
    """What an order changes. What was ordered is never undone, only answered by a later order."""

    SUSPEND = "suspend"
    RESUME = "resume"
    HOLD = "hold"
    RELEASE = "release"
    CLOSE = "close"
    REMOVE_MEMBER = "remove-member"
    RESTART_MEMBER = "restart-member"


@dataclass(frozen=True, slots=True, order=True)
class LineageKey:
    """Names a permit through all its versions. The same lineage id from another issuer is another lineage."""

    issuer: str
    lineage: str

    @property
    def key(self) -> str:
        """Our own short name for the lineage, safe to print and to type: ``permit-`` and 16 characters."""
        return derived("permit", self.issuer, self.lineage)


@dataclass(frozen=True, slots=True)
class Scope:
    """What an order is about: a permit, one of its workspaces, or one member (in one workspace or in all)."""

    permit: LineageKey
    workspace: str | None = None
    person: str | None = None

    def covers(self, other: "Scope") -> bool:
        """Whether everything in `other` lies within this scope."""
        return (
            self.permit == other.permit
            and self.workspace in (None, other.workspace)
            and self.person in (None, other.person)
        )


@dataclass(frozen=True, slots=True)
class Order:
    """One order. `answers` names the order that a resume or release is about."""

    fact: ClassVar[str] = "order"
    order: str
    kind: OrderKind
    scope: Scope
    author: str
    """A principal's id; ``machine`` for a breach signal; an issuer's id for its own suspension."""
    reason: str
    at: datetime
    until: datetime | None = None
    review_at: datetime | None = None
    answers: tuple[str, ...] = ()
    approved_by: tuple[str, ...] = ()


class PermitStatus(StrEnum):
    """What an issuer says of its own permit by a status message."""

    REVOKED = "REVOKED"
    SUSPENDED = "SUSPENDED"
    LIFTED = "LIFTED"


@dataclass(frozen=True, slots=True)
class StatusMessage:
    """A signed status message of an issuer, valid also before its permit arrives, ordered by `sequence`."""

    fact: ClassVar[str] = "status-message"
    message_id: str
    permit: LineageKey
    version: int | None
    sequence: int
    status: PermitStatus
    at: datetime
    reason: str
    kid: str
    raw_digest: str
    received_at: datetime


OrderLike: TypeAlias = Order | StatusMessage
