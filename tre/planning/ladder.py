"""From observed to desired: the one order in which every backend is built up and taken down (D5-D7, D22).

Down: people, sessions, credentials, mounts. Up: wall, limits, mounts, credentials, people. What cannot be known is
taken down as if it were there, and nothing is destroyed until everything is known to be empty.
"""

from collections.abc import Iterator

from tre.model.observed import Admission, HeldCredential, Known, LiveSession, ObservedWorkspace, Unknown
from tre.model.step import Part, Step, StepValue, Verb
from tre.model.workspace import Access, DesiredWorkspace, Mount


def plan(desired: DesiredWorkspace | None, observed: ObservedWorkspace) -> tuple[Step, ...]:
    """Return the steps from `observed` to `desired`, in order; () only when converged. None: nothing may remain."""
    if desired is None:
        return tuple(_removal(observed))
    return (*_down(desired, observed), *_up(desired, observed))


def admissions(desired: DesiredWorkspace) -> tuple[Admission, ...]:
    """Who may attach at the desired rung."""
    if desired.access < Access.OPEN:
        return ()
    return tuple(sorted(Admission(m.slot, m.ends_at) for m in desired.members))


def _mounts(desired: DesiredWorkspace) -> tuple[Mount, ...]:
    return tuple(sorted(desired.mounts)) if desired.access >= Access.MOUNTED else ()


def _wall_stands(desired: DesiredWorkspace, observed: ObservedWorkspace) -> bool:
    """Whether people may be inside meanwhile: a wall that only ends at another instant still stands."""
    if not isinstance(observed.wall, Known) or observed.wall.value is None:
        return False
    return observed.wall.value.isolation == desired.wall.isolation


def _down(desired: DesiredWorkspace, observed: ObservedWorkspace) -> Iterator[Step]:
    ref = desired.ref
    stands = _wall_stands(desired, observed)
    for part, surplus in (
        (Part.PEOPLE, _surplus_people(desired, observed, stands=stands)),
        (Part.SESSIONS, _surplus_sessions(desired, observed, stands=stands)),
        (Part.CREDENTIALS, _surplus_credentials(desired, observed, stands=stands)),
        (Part.MOUNTS, _surplus_mounts(desired, observed, stands=stands)),
    ):
        if surplus is None or surplus:
            yield Step(ref, Verb.REMOVE, part, surplus)


def _surplus_people(desired: DesiredWorkspace, observed: ObservedWorkspace, *, stands: bool) -> tuple[int, ...] | None:
    if isinstance(observed.people, Unknown):
        return None
    wanted = {a.slot: a.ends_at for a in admissions(desired)} if stands else {}
    return tuple(a.slot for a in observed.people.value if a.slot not in wanted or a.ends_at > wanted[a.slot])


def _surplus_sessions(
    desired: DesiredWorkspace, observed: ObservedWorkspace, *, stands: bool
) -> tuple[str, ...] | None:
    if isinstance(observed.sessions, Unknown):
        return None
    ends = {a.slot: a.ends_at for a in admissions(desired)} if stands else {}
    granted = frozenset(_mounts(desired))

    def stays(session: LiveSession) -> bool:
        allowed = session.slot in ends and session.ends_at <= ends[session.slot]
        return allowed and granted.issuperset(session.mounts)

    return tuple(s.session for s in observed.sessions.value if not stays(s))


def _surplus_credentials(
    desired: DesiredWorkspace, observed: ObservedWorkspace, *, stands: bool
) -> tuple[int, ...] | None:
    if isinstance(observed.credentials, Unknown):
        return None
    keep = desired.members if stands and desired.access >= Access.MOUNTED else ()
    wanted = {m.slot: m for m in keep}

    def stays(held: HeldCredential) -> bool:
        member = wanted.get(held.slot)
        return member is not None and held.epoch == member.credential_epoch and held.ends_at <= member.ends_at

    return tuple(sorted({h.slot for h in observed.credentials.value if not stays(h)}))


def _surplus_mounts(desired: DesiredWorkspace, observed: ObservedWorkspace, *, stands: bool) -> tuple[str, ...] | None:
    if isinstance(observed.mounts, Unknown):
        return None
    wanted = set(_mounts(desired)) if stands else set()
    return tuple(m.name for m in observed.mounts.value if m not in wanted)


def _up(desired: DesiredWorkspace, observed: ObservedWorkspace) -> Iterator[Step]:
    if desired.access < Access.WALLED:
        return
    ref = desired.ref
    stands = _wall_stands(desired, observed)
    if observed.wall != Known(desired.wall) or isinstance(observed.storage, Unknown):
        yield Step(ref, Verb.ENSURE, Part.WALL, desired.wall)
    if observed.limits != Known(desired.limits):
        yield Step(ref, Verb.ENSURE, Part.LIMITS, desired.limits)
    if desired.access < Access.MOUNTED:
        return
    mounts = _mounts(desired)
    if (observed.mounts != Known(mounts) or not stands) and (mounts or observed.mounts != Known(())):
        yield Step(ref, Verb.ENSURE, Part.MOUNTS, mounts)
    missing = _missing_credentials(desired, observed, stands=stands)
    if missing:
        yield Step(ref, Verb.ENSURE, Part.CREDENTIALS, missing)
    people = admissions(desired)
    if (observed.people != Known(people) or not stands) and people:
        yield Step(ref, Verb.ENSURE, Part.PEOPLE, people)


def _missing_credentials(
    desired: DesiredWorkspace, observed: ObservedWorkspace, *, stands: bool
) -> tuple[HeldCredential, ...]:
    kept: dict[tuple[int, int], HeldCredential] = {}
    if stands and isinstance(observed.credentials, Known):
        kept = {(h.slot, h.epoch): h for h in observed.credentials.value}

    def enough(slot: int, epoch: int) -> bool:
        held, member = kept.get((slot, epoch)), members[slot]
        return held is not None and member.credential_ends_at <= held.ends_at <= member.ends_at

    members = {m.slot: m for m in desired.members}
    return tuple(
        HeldCredential(m.slot, m.credential_epoch, m.credential_ends_at)
        for m in sorted(desired.members)
        if not enough(m.slot, m.credential_epoch)
    )


def _removal(observed: ObservedWorkspace) -> Iterator[Step]:
    ref = observed.ref
    lockable = (
        (Part.PEOPLE, observed.people),
        (Part.SESSIONS, observed.sessions),
        (Part.CREDENTIALS, observed.credentials),
        (Part.MOUNTS, observed.mounts),
    )
    locked = True
    for part, facet in lockable:
        if isinstance(facet, Unknown) or facet.value:
            locked = False
            value: StepValue = None
            yield Step(ref, Verb.REMOVE, part, value)
    if not locked:
        return
    if not observed.fully_known:
        # D22: with anything unknown the plan is the lock, repeated blind, and no destroying step.
        for part, _facet in lockable:
            yield Step(ref, Verb.REMOVE, part)
        return
    for part, present in (
        (Part.LIMITS, observed.limits != Known(None)),
        (Part.STORAGE, observed.storage != Known(())),
        (Part.WALL, observed.wall != Known(None)),
    ):
        if present:
            yield Step(ref, Verb.REMOVE, part)
