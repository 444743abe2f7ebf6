"""Which rung is allowed, and what the probes have shown.

The wall is probed before data is mounted, data is probed before people come in, and a proof counts only for the
isolation and the mounts it was made with, while it is fresh.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from tre.model.canonical import digest_of
from tre.model.condition import Reason
from tre.model.facts import ProbeRun
from tre.model.instants import format_instant
from tre.model.observed import HeldCredential, Known, ObservedWorkspace
from tre.model.probe import ProbeClass, ProbeResult, Verdict
from tre.model.workspace import Access, DesiredWorkspace, Isolation, Mount


@dataclass(frozen=True, slots=True)
class ProofRules:
    """From the profile: which classes must be refused before each rung, and how long a proof lasts."""

    required: Mapping[Access, frozenset[ProbeClass]]
    """WALLED: before data is mounted. MOUNTED: also before people come in. LOCKED: after a lock."""
    age_s: float


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The highest rung that permit, policy, capabilities and data allow, before any look at the world."""

    access: Access
    reason: Reason
    sentence: str


@dataclass(frozen=True, slots=True)
class Proofs:
    """The newest fresh proof of the wall, and of the data, for what is desired now."""

    wall: ProbeRun | None
    data: ProbeRun | None


def basis(isolation: Isolation, mounts: Iterable[Mount]) -> str:
    """What a run proved: the digest of the isolation, and of the mounts."""
    return f"{digest_of(asdict(isolation))}:{digest_of([asdict(m) for m in sorted(mounts)])}"


def refused(results: Iterable[ProbeResult], classes: frozenset[ProbeClass]) -> bool:
    """Whether each class has an answered, refused attempt and none that succeeded or was inconclusive."""
    by_class: dict[ProbeClass, set[Verdict]] = {}
    for result in results:
        by_class.setdefault(result.probe_class, set()).add(result.verdict)
    wrong = {Verdict.SUCCEEDED, Verdict.INCONCLUSIVE}
    return all(Verdict.REFUSED in by_class.get(c, set()) and not by_class[c] & wrong for c in classes)


def succeeded(results: Iterable[ProbeResult]) -> tuple[ProbeResult, ...]:
    """Attempts that got through: each is a breach signal."""
    return tuple(r for r in results if r.verdict is Verdict.SUCCEEDED)


def proofs(desired: DesiredWorkspace, runs: Iterable[ProbeRun], rules: ProofRules, now: datetime) -> Proofs:
    """Pick the newest fresh proofs that count for `desired`. A run after which time went back does not count."""
    wanted = basis(desired.wall.isolation, desired.mounts)
    wall_part = wanted.partition(":")[0]
    fresh = [
        r
        for r in sorted(runs, key=lambda r: r.at, reverse=True)
        if timedelta(0) <= now - r.at <= timedelta(seconds=rules.age_s)
    ]
    wall_classes = rules.required[Access.WALLED]
    data_classes = wall_classes | rules.required[Access.MOUNTED]
    wall = (r for r in fresh if r.basis.partition(":")[0] == wall_part and refused(r.results, wall_classes))
    data = (r for r in fresh if r.rung >= Access.MOUNTED and r.basis == wanted and refused(r.results, data_classes))
    return Proofs(next(wall, None), next(data, None))


def wall_stands(desired: DesiredWorkspace, observed: ObservedWorkspace) -> bool:
    """Whether wall and limits are there as desired (another end of the same wall is mended in place)."""
    wall = observed.wall
    isolated = isinstance(wall, Known) and wall.value is not None
    same = isolated and wall.value.isolation == desired.wall.isolation  # type: ignore[union-attr]  # narrowed by `isolated`
    return bool(same) and observed.limits == Known(desired.limits)


def data_stands(desired: DesiredWorkspace, observed: ObservedWorkspace) -> bool:
    """Whether mounts and credentials are there as desired."""
    if observed.mounts != Known(tuple(sorted(desired.mounts))) or not isinstance(observed.credentials, Known):
        return False
    held = {(h.slot, h.epoch): h.ends_at for h in observed.credentials.value}
    wanted = {(m.slot, m.credential_epoch): m for m in desired.members}
    return held.keys() == wanted.keys() and all(
        wanted[k].credential_ends_at <= held[k] <= wanted[k].ends_at for k in wanted
    )


def next_rung(ceiling: Ceiling, desired: DesiredWorkspace, observed: ObservedWorkspace, found: Proofs) -> Ceiling:
    """The rung for this pass: at most one above what is proved, never above the ceiling."""
    if ceiling.access < Access.WALLED:
        return ceiling
    if not wall_stands(desired, observed):
        return Ceiling(Access.WALLED, Reason.NOT_YET, "the wall is not observed as desired")
    if ceiling.access is Access.WALLED:
        return ceiling
    if found.wall is None:
        return Ceiling(Access.WALLED, Reason.PROBES_PENDING, "the wall is not proved by fresh probes")
    people_inside = isinstance(observed.people, Known) and bool(observed.people.value)
    if not people_inside and not data_stands(desired, observed):
        return Ceiling(Access.MOUNTED, Reason.NOT_YET, "data and credentials are not observed as desired")
    if found.data is None and not people_inside:
        return Ceiling(Access.MOUNTED, Reason.PROBES_PENDING, "the data is not proved by fresh probes")
    # People who are inside stay when only the mounts changed: the wall is proved, and a new session waits for
    # the new proof (operations.sessions refuses a login without it).
    return ceiling


def rung_to_probe(
    rung: Access, desired: DesiredWorkspace, observed: ObservedWorkspace, found: Proofs, after: datetime
) -> Access | None:
    """Which plan to run now, if any. Proofs older than `after` are renewed before they run out."""
    if rung is Access.WALLED and wall_stands(desired, observed) and found.wall is None:
        return Access.WALLED
    if rung >= Access.MOUNTED and data_stands(desired, observed) and (found.data is None or found.data.at < after):
        return Access.MOUNTED
    return None


def credential_end(held: HeldCredential | None, ends_at: datetime, now: datetime, ttl_s: float) -> datetime:
    """The end a member's credential must reach: kept while more than half its life is left, else renewed in full.

    Cut to whole seconds and never past the member's end, so that equal facts are spelled equally (D4).
    """
    if held is not None and held.ends_at <= ends_at:
        rest = (held.ends_at - now).total_seconds()
        if rest > ttl_s / 2 or held.ends_at == ends_at:
            return held.ends_at
    full = (now + timedelta(seconds=ttl_s)).replace(microsecond=0)
    return min(full, ends_at)


def sentence_of_run(run: ProbeRun) -> str:
    """One line on a run: how many attempts, refused, and the first that was not."""
    wrong = [r for r in run.results if r.verdict in (Verdict.SUCCEEDED, Verdict.INCONCLUSIVE)]
    counted = f"{sum(r.verdict is Verdict.REFUSED for r in run.results)} refused at {format_instant(run.at)}"
    return f"{counted}; {wrong[0].name} {wrong[0].verdict}: {wrong[0].detail}" if wrong else counted
