"""The operational state of a permit and of each workspace: never stored, always folded from facts and now.

REVOKED, EXPIRED and closed absorb: no later fact brings a lineage (or a closed workspace) back.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tre.model.condition import Reason
from tre.model.facts import Expired, PermitVersion, TrustRevoked
from tre.model.instants import Window
from tre.model.order import Order, OrderKind, PermitStatus, Scope, StatusMessage


class OperationalState(StrEnum):
    """`permit-model.md` 6.4."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    LOCKED = "LOCKED"
    DELETION_DUE = "DELETION_DUE"
    HELD = "HELD"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class LineageFacts:
    """Every fact that decides over one lineage. `ends_at` is the effective end of the scope asked about (V-21)."""

    versions: tuple[PermitVersion, ...]
    statuses: tuple[StatusMessage, ...] = ()
    orders: tuple[Order, ...] = ()
    expired: Expired | None = None
    trust_revoked: tuple[TrustRevoked, ...] = ()

    @property
    def head(self) -> PermitVersion:
        """The highest version."""
        return max(self.versions, key=lambda v: v.version)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a permit or workspace stands now, why, and since when it is over (if it is)."""

    state: OperationalState
    reason: Reason
    sentence: str
    over_since: datetime | None = None
    """The instant from which no access is allowed for good; None while it may still come (back)."""
    suspensions: tuple[str, ...] = ()
    """Ids of the orders (or issuer messages) that suspend; each needs its own answer."""
    holds: tuple[str, ...] = ()

    @property
    def active(self) -> bool:
        """Whether access is allowed, as far as the facts go."""
        return self.state is OperationalState.ACTIVE

    @property
    def over(self) -> bool:
        """Whether it has ended for good."""
        return self.over_since is not None


def _trusted(kid: str, received_at: datetime, revoked: Iterable[TrustRevoked]) -> bool:
    return not any(
        r.kid == kid and r.compromised_since is not None and received_at >= r.compromised_since for r in revoked
    )


def revocation(lineage: LineageFacts) -> StatusMessage | None:
    """The issuer's revocation, if one from an uncompromised key was received."""
    revoked = [
        s
        for s in lineage.statuses
        if s.status is PermitStatus.REVOKED and _trusted(s.kid, s.received_at, lineage.trust_revoked)
    ]
    return min(revoked, key=lambda s: s.received_at, default=None)


def open_suspensions(lineage: LineageFacts, scope: Scope) -> tuple[str, ...]:
    """Ids of what suspends the scope now: orders without an answer, the issuer's last word, doubtful keys."""
    answered = {a for o in lineage.orders if o.kind is OrderKind.RESUME for a in o.answers}
    by_order = [
        o.order
        for o in lineage.orders
        if o.kind is OrderKind.SUSPEND and o.scope.covers(scope) and o.order not in answered
    ]
    return (*by_order, *_issuer_suspension(lineage), *_doubtful_keys(lineage))


def _issuer_suspension(lineage: LineageFacts) -> tuple[str, ...]:
    """The highest sequence decides; a lift by a key that is compromised lifts nothing."""
    last: StatusMessage | None = None
    for message in sorted(lineage.statuses, key=lambda s: (s.sequence, s.received_at)):
        lifts = message.status is PermitStatus.LIFTED
        if message.status is PermitStatus.REVOKED or (
            lifts and not _trusted(message.kid, message.received_at, lineage.trust_revoked)
        ):
            continue
        last = message
    return (f"issuer:{last.message_id}",) if last and last.status is PermitStatus.SUSPENDED else ()


def _doubtful_keys(lineage: LineageFacts) -> tuple[str, ...]:
    head = lineage.head
    doubtful = [f"key:{head.kid}"] if not _trusted(head.kid, head.received_at, lineage.trust_revoked) else []
    doubtful += [
        f"key:{s.kid}:{s.message_id}"
        for s in lineage.statuses
        if s.status is PermitStatus.REVOKED and not _trusted(s.kid, s.received_at, lineage.trust_revoked)
    ]
    return tuple(doubtful)


def open_holds(orders: Iterable[Order], scope: Scope, now: datetime) -> tuple[Order, ...]:
    """The holds on anything within the scope, or on something the scope lies in. A hold only ever stops a purge."""
    orders = tuple(orders)
    released = {a for o in orders if o.kind is OrderKind.RELEASE for a in o.answers}
    return tuple(
        o
        for o in orders
        if o.kind is OrderKind.HOLD
        and o.order not in released
        and (o.until is None or now < o.until)
        and (o.scope.covers(scope) or scope.covers(o.scope))
    )


def removed_persons(orders: Iterable[Order], workspace: str | None) -> frozenset[str]:
    """Persons removed from the permit, or from this workspace, for good."""
    return frozenset(
        o.scope.person
        for o in orders
        if o.kind is OrderKind.REMOVE_MEMBER and o.scope.person and o.scope.workspace in (None, workspace)
    )


def _end(lineage: LineageFacts, scope: Scope, ends_at: datetime, now: datetime) -> Standing | None:
    """Why it is over for good, if it is: the earliest reason wins."""
    ends: list[tuple[datetime, Reason, str]] = []
    revoked = revocation(lineage)
    if revoked:
        ends.append((revoked.received_at, Reason.PERMIT_REVOKED, f"the issuer revoked the permit: {revoked.reason}"))
    if lineage.expired:
        at = min(lineage.expired.at, lineage.expired.not_after)
        ends.append((at, Reason.PERMIT_EXPIRED, "the permit has expired"))
    if now >= ends_at:
        ends.append((ends_at, Reason.PERMIT_EXPIRED, "the permit has expired"))
    ends += [
        (o.at, Reason.CLOSED_BY_ORDER, f"closed by order of {o.author}: {o.reason}")
        for o in lineage.orders
        if o.kind is OrderKind.CLOSE and o.scope.covers(scope)
    ]
    if not ends:
        return None
    at, reason, sentence = min(ends, key=lambda e: e[0])
    return Standing(OperationalState.LOCKED, reason, sentence, over_since=at)


def standing(lineage: LineageFacts, scope: Scope, ends_at: datetime, now: datetime) -> Standing:
    """Fold the facts to where the scope stands at `now`. `ends_at`: the effective end of the scope (V-21).

    The closed world of `permit-model.md` 6.4 but for DELETION_DUE and DELETED, which depend on a workspace's purge:
    `with_purge` adds them.
    """
    holds = tuple(o.order for o in open_holds(lineage.orders, scope, now))
    over = _end(lineage, scope, ends_at, now)
    if over:
        return Standing(over.state, over.reason, over.sentence, over.over_since, holds=holds)
    suspensions = open_suspensions(lineage, scope)
    if suspensions:
        sentence = f"suspended by {', '.join(suspensions)}"
        return Standing(
            OperationalState.SUSPENDED, Reason.PERMIT_SUSPENDED, sentence, suspensions=suspensions, holds=holds
        )
    window = Window(lineage.head.not_before, ends_at)
    if not window.contains(now):
        return Standing(OperationalState.PENDING, Reason.PERMIT_NOT_YET_VALID, "the permit has not begun", holds=holds)
    return Standing(OperationalState.ACTIVE, Reason.PERMIT_ACTIVE, "the permit is in force", holds=holds)


def with_purge(standing: Standing, *, purge_at: datetime | None, purged: bool, now: datetime) -> Standing:
    """The standing of one workspace with its purge: DELETION_DUE, HELD or DELETED where it is over."""
    if not standing.over:
        return standing
    state = OperationalState.LOCKED
    if purged:
        state = OperationalState.DELETED
    elif purge_at is not None and now >= purge_at:
        state = OperationalState.HELD if standing.holds else OperationalState.DELETION_DUE
    return Standing(state, standing.reason, standing.sentence, standing.over_since, holds=standing.holds)
