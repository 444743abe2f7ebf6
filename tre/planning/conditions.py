"""Conditions of a workspace: a pure view of desired, observed and what was proved."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from tre.model.condition import Condition, ConditionType, Reason, Truth
from tre.model.observed import Known, ObservedWorkspace, Unknown
from tre.model.workspace import Access, DesiredWorkspace
from tre.planning.lifecycle import OperationalState, Standing
from tre.planning.rungs import Ceiling, Proofs, data_stands, wall_stands


@dataclass(frozen=True, slots=True)
class LockFacts:
    """What is known of a lock: credentials not yet proved dead, and whether the knocks from outside were refused."""

    credentials_pending: tuple[str, ...] = ()
    knocks_refused: bool | None = None
    """None: not tried yet since the lock."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything the conditions are a view of."""

    standing: Standing
    rung: Ceiling
    desired: DesiredWorkspace | None
    observed: ObservedWorkspace
    proofs: Proofs
    lock: LockFacts
    problem: tuple[Reason, str] | None = None
    """What went wrong in this pass, if anything: shown by the condition it keeps from being True."""


_Judged = tuple[Truth, Reason, str]
_AS_DESIRED: _Judged = (Truth.TRUE, Reason.AS_DESIRED, "as desired")


def conditions(scene: Scene, previous: Iterable[Condition], version: int, now: datetime) -> tuple[Condition, ...]:
    """All conditions, in the order of `ConditionType`; `since` moves only when the truth does."""
    before = {c.type: c for c in previous}
    judged = {
        ConditionType.AUTHORISED: _authorised(scene),
        ConditionType.ISOLATED: _isolated(scene),
        ConditionType.MOUNTED: _mounted(scene),
        ConditionType.CREDENTIALED: _credentialed(scene),
        ConditionType.ADMITTED: _admitted(scene),
        ConditionType.READY: _ready(scene),
        ConditionType.LOCKED: _locked(scene),
        ConditionType.CLOSING: _closing(scene),
    }

    def condition(kind: ConditionType) -> Condition:
        truth, reason, sentence = judged[kind]
        old = before.get(kind)
        since = old.since if old and old.truth is truth else now
        return Condition(kind, truth, reason, sentence, version, since)

    return tuple(condition(kind) for kind in ConditionType)


def _authorised(scene: Scene) -> _Judged:
    standing = scene.standing
    if not standing.active:
        return Truth.FALSE, standing.reason, standing.sentence
    if scene.rung.reason in (Reason.POLICY_DENIED, Reason.PERMIT_PENDING, Reason.CLOCK_DOUBT):
        return Truth.FALSE, scene.rung.reason, scene.rung.sentence
    return Truth.TRUE, standing.reason, standing.sentence


def _unknown(facet: object) -> _Judged | None:
    return (Truth.UNKNOWN, Reason.BACKEND_UNKNOWN, facet.cause) if isinstance(facet, Unknown) else None


def _isolated(scene: Scene) -> _Judged:
    unknown = _unknown(scene.observed.wall) or _unknown(scene.observed.limits)
    if unknown:
        return unknown
    if scene.desired is None or not wall_stands(scene.desired, scene.observed):
        if scene.rung.access is Access.LOCKED:
            return Truth.FALSE, scene.rung.reason, scene.rung.sentence
        return Truth.FALSE, Reason.NOT_YET, "the wall is not observed as desired"
    if scene.proofs.wall is None:
        return Truth.UNKNOWN, Reason.PROBES_PENDING, "the wall is not proved by fresh probes"
    return _AS_DESIRED


def _mounted(scene: Scene) -> _Judged:
    unknown = _unknown(scene.observed.mounts)
    if unknown:
        return unknown
    if scene.desired is None or scene.observed.mounts != Known(tuple(sorted(scene.desired.mounts))):
        return Truth.FALSE, scene.rung.reason, scene.rung.sentence
    return _AS_DESIRED


def _credentialed(scene: Scene) -> _Judged:
    unknown = _unknown(scene.observed.credentials)
    if unknown:
        return unknown
    if scene.desired is None or not data_stands(scene.desired, scene.observed):
        return Truth.FALSE, scene.rung.reason, scene.rung.sentence
    return _AS_DESIRED


def _admitted(scene: Scene) -> _Judged:
    unknown = _unknown(scene.observed.people)
    if unknown:
        return unknown
    people = scene.observed.people
    if isinstance(people, Known) and people.value:
        return _AS_DESIRED
    return Truth.FALSE, scene.rung.reason, scene.rung.sentence


def _ready(scene: Scene) -> _Judged:
    if scene.problem:
        return Truth.FALSE, scene.problem[0], scene.problem[1]
    for judged in (_authorised(scene), _isolated(scene), _mounted(scene), _credentialed(scene), _admitted(scene)):
        if judged[0] is not Truth.TRUE:
            return Truth.FALSE, judged[1], judged[2]
    if scene.proofs.data is None:
        return Truth.FALSE, Reason.PROBES_PENDING, "the data is not proved by fresh probes"
    return Truth.TRUE, Reason.AS_DESIRED, "members may log in"


def _locked(scene: Scene) -> _Judged:
    if scene.rung.access > Access.LOCKED:
        return Truth.FALSE, Reason.NOT_DESIRED, "access is allowed"
    observed = scene.observed
    doors = (observed.people, observed.sessions, observed.credentials, observed.mounts)
    for door in doors:
        if isinstance(door, Unknown):
            return Truth.UNKNOWN, Reason.BACKEND_UNKNOWN, door.cause
    if any(isinstance(door, Known) and door.value for door in doors):
        return Truth.FALSE, Reason.LOCK_PENDING, "people, sessions, credentials or mounts are still there"
    if scene.lock.credentials_pending:
        return Truth.UNKNOWN, Reason.CREDENTIALS_PENDING, "locked out, credentials pending"
    if scene.lock.knocks_refused is False:
        return Truth.FALSE, Reason.PROBE_SUCCEEDED, "a knock from outside was answered after the lock"
    if scene.lock.knocks_refused is None:
        return Truth.TRUE, Reason.PROBES_PENDING, "locked; the knocks from outside follow"
    return Truth.TRUE, Reason.LOCK_PROVED, "locked, and every knock from outside was refused"


def _closing(scene: Scene) -> _Judged:
    states = {
        OperationalState.LOCKED: (Truth.TRUE, Reason.PURGE_WAITS, "over; the purge waits for the profile's hold"),
        OperationalState.HELD: (Truth.TRUE, Reason.HELD, "over; a hold stops the purge"),
        OperationalState.DELETION_DUE: (Truth.TRUE, Reason.PURGING, "over; being purged"),
        OperationalState.DELETED: (Truth.TRUE, Reason.PURGED, "purged and certified"),
    }
    return states.get(scene.standing.state, (Truth.FALSE, Reason.NOT_DESIRED, "not over"))
