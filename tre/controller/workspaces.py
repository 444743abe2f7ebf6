"""The reconciler of workspaces: load, observe, decide the rung, act, prove, write the status once.

Works on a batch of workspaces of one backend, so that a step of one kind is performed for many in one call. What
happened to one workspace never decides over another.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from tre.contracts.driver import Driver, Health
from tre.contracts.errors import ContractError, Permanent, Refused, Transient
from tre.contracts.store import Direction, Intent, Reader
from tre.controller.credentials import CredentialKeeper
from tre.controller.ports import Again, Answer, Done, Ports, sooner
from tre.controller.proving import Prover
from tre.controller.purging import Purger
from tre.dossier.decision import BackendFacts
from tre.dossier.desire import Desire, ceiling_of, desired_of
from tre.dossier.files import WorkspaceFile
from tre.model.condition import Condition, ConditionType, Reason, Truth
from tre.model.facts import ProbeRun, WorkspaceStatus
from tre.model.observed import Known, ObservedWorkspace
from tre.model.probe import ProbeResult
from tre.model.record import AuditEntry, RecordKind
from tre.model.step import Done as StepDone
from tre.model.step import Failed, Outcome, Part, Step, Verb
from tre.model.step import Pending as StepPending
from tre.model.workspace import Access, DesiredWorkspace, WorkspaceRef
from tre.planning.conditions import LockFacts, Scene, conditions
from tre.planning.lifecycle import OperationalState, Standing, with_purge
from tre.planning.rungs import Ceiling, Proofs, next_rung, proofs


class ClockJudge(Protocol):
    """Whether the clock is believed."""

    def doubt(self) -> str | None:
        """Why it is not, or None."""
        ...

    def rested(self) -> bool:
        """Whether this is the first look in a day: too early to end anything for good."""
        ...


@dataclass(slots=True)
class Pass:
    """One look at one workspace, filled in phase by phase."""

    file: WorkspaceFile
    standing: Standing
    ceiling: Ceiling
    now: datetime
    status: WorkspaceStatus | None
    observed: ObservedWorkspace
    runs: tuple[ProbeRun, ...] = ()
    desired: DesiredWorkspace | None = None
    full: DesiredWorkspace | None = None
    rung: Ceiling | None = None
    found: Proofs = field(default_factory=lambda: Proofs(None, None))
    problem: tuple[Reason, str] | None = None
    acted: bool = False
    answer: Answer = field(default_factory=Done)
    drifts: tuple[str, ...] = ()

    @property
    def ref(self) -> WorkspaceRef:
        """Which workspace."""
        return self.file.workspace.ref

    def trouble(self, reason: Reason, sentence: str, again_s: float) -> None:
        """Remember the first thing that went wrong, and come back."""
        if self.problem is None:
            self.problem = (reason, sentence)
        self.answer = sooner(self.answer, Again(again_s, sentence))


class WorkspaceReconciler:
    """Brings workspaces one rung nearer to what is desired, per call."""

    def __init__(self, ports: Ports, clock: ClockJudge) -> None:
        self._ports = ports
        self._clock = clock
        self._credentials = CredentialKeeper(ports)
        self._prover = Prover(ports)
        self._purger = Purger(ports)

    def reconcile(self, backend: str, workspaces: Sequence[str], health: Health) -> Mapping[str, Answer]:
        """One pass over workspaces of one backend; what to do next for each.

        Raises what the driver's observe or the store raises; everything that concerns one workspace is in its answer.
        """
        driver = self._ports.drivers[backend]
        passes = self._load(driver, workspaces, health)
        for one in passes:
            self._decide(one)
        self._act(driver, [p for p in passes if p.rung is not None])
        self._observe_again(driver, passes)
        for one in passes:
            self._finish(driver, one)
        return {p.ref.workspace: p.answer for p in passes}

    def probe_now(self, workspace: str) -> tuple[ProbeResult, ...]:
        """Run the probes of the rung the workspace stands on."""
        with self._ports.store.read() as reader:
            file = self._ports.dossier.workspace(reader, workspace)
            status = reader.status(workspace)
        if file is None or status is None:
            raise Refused("the workspace was not looked at yet")
        driver = self._ports.drivers[file.workspace.ref.backend]
        run = self._prover.run(driver, file, Access.MOUNTED if status.access is Access.OPEN else status.access)
        return run.results

    def end_session(self, workspace: str, session: str) -> None:
        """End one session. Refused when the far side does not."""
        with self._ports.store.read() as reader:
            file = self._ports.dossier.workspace(reader, workspace)
        if file is None:
            raise Refused(f"no workspace {workspace}")
        step = Step(file.workspace.ref, Verb.REMOVE, Part.SESSIONS, (session,))
        driver = self._ports.drivers[file.workspace.ref.backend]
        intent = Intent(step.ref, "remove sessions", Direction.DOWN, session)
        outcome = self._ports.effects.carry_out([intent], lambda _: None, lambda f: driver.perform([step], f))[0]
        if not isinstance(outcome, StepDone):
            raise Transient(f"session {session}: {outcome.reason}")

    # -- load and observe ------------------------------------------------------------------------------------------

    def _load(self, driver: Driver, workspaces: Sequence[str], health: Health) -> list[Pass]:
        now = self._ports.clock.now()
        doubt = self._clock.doubt()
        recovery = self._ports.store.in_recovery()
        backend = BackendFacts(driver.describe().kind, health.capabilities)
        passes: list[Pass] = []
        with self._ports.store.read() as reader:
            files = [f for f in (self._ports.dossier.workspace(reader, w) for w in workspaces) if f]
            for file in files:
                if file.purged:
                    continue
                standing = self._purger.standing(file, now)
                desire = Desire(file, standing, backend, doubt=doubt, recovery=recovery, now=now)
                ceiling = ceiling_of(desire, self._ports.dossier, reader)
                status = reader.status(file.workspace.ref.workspace)
                unseen = ObservedWorkspace.unknown(file.workspace.ref, "not observed yet")
                passes.append(Pass(file, standing, ceiling, now, status, unseen))
        self._observe(driver, passes)
        return passes

    def _observe(self, driver: Driver, passes: Sequence[Pass]) -> None:
        if not passes:
            return
        try:
            seen = driver.observe([p.ref for p in passes])
        except ContractError as error:
            seen = {p.ref: ObservedWorkspace.unknown(p.ref, error.reason) for p in passes}
        for one in passes:
            one.observed = seen[one.ref]

    def _observe_again(self, driver: Driver, passes: Sequence[Pass]) -> None:
        self._observe(driver, [p for p in passes if p.acted])

    # -- decide ----------------------------------------------------------------------------------------------------

    def _decide(self, one: Pass) -> None:
        """Choose the rung and what is desired on it; open the epochs it needs and close those it forbids."""
        one.runs = one.status.probe_runs if one.status else ()
        if one.standing.state is OperationalState.DELETION_DUE and self._purge_allowed():
            one.rung = Ceiling(Access.LOCKED, Reason.PURGING, "being purged")
            one.desired = None
            self._credentials.close(one.file, one.file.epochs.all_live(), "purge")
            return
        self._watch_data(one)
        # Once, for the whole pass: a member who is being restarted stays out of it, and is back in the next.
        permitted = one.file.permitted(one.now)
        full = desired_of(one.file, one.observed, Access.OPEN, one.now, permitted)
        one.found = proofs(full, one.runs, one.file.proof_rules, one.now)
        one.rung = next_rung(one.ceiling, full, one.observed, one.found)
        one.file = self._credentials.turn(one.file, one.rung, permitted, one.now)
        one.full = desired_of(one.file, one.observed, Access.OPEN, one.now, permitted)
        one.desired = desired_of(one.file, one.observed, one.rung.access, one.now, permitted)
        if permitted != one.file.permitted(one.now):
            one.answer = Again(0.0, "a member is being restarted")

    def _purge_allowed(self) -> bool:
        """A purge needs a clock that is believed and a store that is whole; the hold is the standing's matter."""
        return not self._clock.rested() and not self._clock.doubt() and self._ports.store.in_recovery() is None

    def _watch_data(self, one: Pass) -> None:
        if one.ceiling.access < Access.MOUNTED:
            return
        problem = self._prover.data_problem(one.file, one.now)
        if problem:
            one.ceiling = Ceiling(Access.WALLED, Reason.DATASET_MISMATCH, problem)

    # -- act -------------------------------------------------------------------------------------------------------

    def _act(self, driver: Driver, passes: Sequence[Pass]) -> None:
        """Perform the plans of the batch: down-steps first, then the up-steps of those that went down well."""
        plans = {p.ref: driver.plan(p.desired, p.observed) for p in passes}
        by_ref = {p.ref: p for p in passes}
        for one in passes:
            one.drifts = tuple(f"{s.verb} {s.part}" for s in plans[one.ref])
        self._keep_footprint(driver, [p for p in passes if plans[p.ref]])
        downs = {r: [s for s in steps if not s.raises] for r, steps in plans.items()}
        failed = self._perform_all(driver, downs, by_ref, stop_at_failure=False)
        ups = {r: [s for s in steps if s.raises] for r, steps in plans.items() if r not in failed}
        self._perform_all(driver, ups, by_ref, stop_at_failure=True)

    def _perform_all(
        self,
        driver: Driver,
        queues: dict[WorkspaceRef, list[Step]],
        by_ref: Mapping[WorkspaceRef, Pass],
        *,
        stop_at_failure: bool,
    ) -> set[WorkspaceRef]:
        """Perform queued steps, those of one kind together. Down-steps are all attempted (D23)."""
        failed: set[WorkspaceRef] = set()
        while any(queues.values()):
            group = self._next_group(queues)
            outcomes = self._perform(driver, group, by_ref)
            for step, outcome in zip(group, outcomes, strict=True):
                if not self._took(by_ref[step.ref], step, outcome):
                    failed.add(step.ref)
                    if stop_at_failure:
                        queues[step.ref] = []
        return failed

    @staticmethod
    def _next_group(queues: dict[WorkspaceRef, list[Step]]) -> list[Step]:
        """The next steps of one kind, at most one for each workspace, taken out of the queues."""
        kind = next(q[0].kind for q in queues.values() if q)
        return [q.pop(0) for q in queues.values() if q and q[0].kind == kind]

    def _keep_footprint(self, driver: Driver, passes: Sequence[Pass]) -> None:
        """Store every name the plans will use before the first effect on it."""
        wanted = {p.ref: driver.footprint(p.full, p.file.workspace.canary_slot) for p in passes if p.full is not None}
        missing = [i for p in passes if p.full is not None for i in wanted[p.ref] if i not in p.file.footprint.items]
        if missing:
            with self._ports.store.begin() as uow:
                for item in missing:
                    uow.add(item)

    def _perform(self, driver: Driver, group: Sequence[Step], by_ref: Mapping[WorkspaceRef, Pass]) -> Sequence[Outcome]:
        intents = [
            Intent(s.ref, f"{s.verb} {s.part}", self._direction(s), by_ref[s.ref].rung.reason.value)  # type: ignore[union-attr]  # only passes with a rung act
            for s in group
        ]
        for step in group:
            by_ref[step.ref].acted = True
        try:
            return self._ports.effects.carry_out(
                intents, self._guard([by_ref[s.ref] for s in group], group[0]), lambda f: driver.perform(group, f)
            )
        except Transient as error:
            return [Failed(error.reason, transient=True, retry_after_s=error.retry_after_s)] * len(group)
        except (Permanent, Refused) as error:
            return [Failed(error.reason, transient=False)] * len(group)

    @staticmethod
    def _direction(step: Step) -> Direction:
        if step.destroys:
            return Direction.DESTROY
        return Direction.UP if step.raises else Direction.DOWN

    def _guard(self, passes: Sequence[Pass], step: Step) -> Callable[[Reader], None]:
        """Re-read orders and holds inside the intent's own transaction."""

        def guard(reader: Reader) -> None:
            if not (step.raises or step.destroys):
                return
            now = self._ports.clock.now()
            for one in passes:
                fresh = self._ports.dossier.workspace(reader, one.ref.workspace)
                standing = self._purger.standing(fresh, now) if fresh else None
                if standing is None or (step.raises and not standing.active):
                    raise Refused(f"{step.verb} {step.part} of {one.ref.workspace}: a newer fact forbids it")
                if step.destroys and standing.state is not OperationalState.DELETION_DUE:
                    raise Refused(f"{step.verb} {step.part} of {one.ref.workspace}: a hold or a newer fact forbids it")

        return guard

    def _took(self, one: Pass, step: Step, outcome: Outcome) -> bool:
        what = f"{step.verb} {step.part}"
        if isinstance(outcome, StepDone):
            return True
        if isinstance(outcome, StepPending):
            one.answer = sooner(one.answer, Again(outcome.retry_after_s, f"{what}: {outcome.reason}"))
            return False
        again_s = outcome.retry_after_s or self._ports.intervals.retry_s
        one.trouble(Reason.BACKEND_FAILED, f"{what}: {outcome.reason}", again_s)
        return False

    # -- prove and write ---------------------------------------------------------------------------------------------

    def _finish(self, driver: Driver, one: Pass) -> None:
        lock = self._credentials.settle(one.file, one.now)
        for sentence in lock.troubles:
            one.trouble(Reason.VAULT_UNAVAILABLE, sentence, self._ports.intervals.retry_s)
        if one.rung is not None and one.desired is not None:
            self._prove(driver, one)
        elif one.observed.gone:
            one.answer = self._purger.certify(driver, one.file)
            if isinstance(one.answer, Done):
                one.standing = with_purge(one.standing, purge_at=None, purged=True, now=one.now)
        facts = LockFacts(lock.pending, self._prover.knocks(one.runs, one.rung))
        self._note_lock(one, facts)
        self._write(one, facts)

    def _prove(self, driver: Driver, one: Pass) -> None:
        rung, desired, full = one.rung, one.desired, one.full
        if rung is None or desired is None or full is None:
            return
        result = self._prover.prove(driver, one.file, rung, full, one.observed, one.runs)
        one.runs = result.runs
        one.answer = sooner(one.answer, result.answer)
        one.found = proofs(full, one.runs, one.file.proof_rules, self._ports.clock.now())
        settled = driver.plan(desired, one.observed) == ()
        following = next_rung(one.ceiling, full, one.observed, one.found)
        if one.problem is None and (not settled or following.access is not rung.access):
            one.answer = sooner(one.answer, Again(0.0, "on the way"))

    def _note_lock(self, one: Pass, lock: LockFacts) -> None:
        """A lock for good that is proved is a fact: the purge counts on it."""
        if not one.standing.over or one.file.lock_proved or lock.knocks_refused is not True:
            return
        if lock.credentials_pending:
            return
        self._purger.note_lock(one.file, self._ports.clock.now())
        one.answer = sooner(one.answer, Again(0.0, "the lock is proved"))

    def _write(self, one: Pass, lock: LockFacts) -> None:
        rung = one.rung or one.ceiling
        scene = Scene(one.standing, rung, one.full, one.observed, one.found, lock, one.problem)
        before: Iterable[Condition] = one.status.conditions if one.status else ()
        now = self._ports.clock.now()
        found = conditions(scene, before, one.file.permit.head.version, now)
        one.answer = sooner(one.answer, self._next_look(one))
        after_s = one.answer.after_s if isinstance(one.answer, Again) else self._ports.intervals.sweep_s
        sessions = one.observed.sessions
        status = WorkspaceStatus(
            workspace=one.ref.workspace,
            access=rung.access,
            conditions=found,
            probe_runs=one.runs,
            ends_at=one.full.ends_at if one.full else None,
            sessions=len(sessions.value) if isinstance(sessions, Known) else 0,
            drifts=one.drifts,
            observed_at=now,
            observed_version=one.file.permit.head.version,
            next_look_at=self._prover.later(now, after_s),
            problem=one.problem[1] if one.problem else None,
        )
        with self._ports.store.begin() as uow:
            uow.put_status(status)
            for change in _changes(before, found):
                uow.record(
                    AuditEntry(
                        RecordKind.CONDITION_CHANGED,
                        "controller",
                        one.ref.workspace,
                        {"condition": change.type, "truth": change.truth, "reason": change.reason},
                    )
                )

    def _next_look(self, one: Pass) -> Answer:
        """Never later than the next instant at which what must be changes by itself."""
        ends = [end for _, end in one.file.permitted(one.now)]
        ends += [p.valid_from for p in one.file.permit.permit.persons if p.valid_from and p.valid_from > one.now]
        purge_at = self._purger.purge_at(one.file)
        if one.standing.over and purge_at:
            ends.append(purge_at)
        begin = one.file.permit.head.not_before
        if begin > one.now:
            ends.append(begin)
        waits = [(e - one.now).total_seconds() for e in ends if e > one.now]
        soonest = min([*waits, self._ports.intervals.sweep_s])
        return Again(soonest, "the next instant that changes something")


def _changes(before: Iterable[Condition], after: Iterable[Condition]) -> tuple[Condition, ...]:
    """Conditions whose truth changed; one seen for the first time counts unless it is False."""
    old: dict[ConditionType, Truth] = {c.type: c.truth for c in before}
    return tuple(c for c in after if c.truth is not old.get(c.type, Truth.FALSE))
