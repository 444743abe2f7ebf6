"""Proofs: canary runs inside, knocks from outside, and the data's own bytes. A probe that got through is a breach."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tre.contracts.driver import Driver
from tre.contracts.errors import ContractError, Transient
from tre.contracts.store import Direction, Intent
from tre.controller.ports import Again, Answer, Done, Ports
from tre.dossier.files import GrantedData, WorkspaceFile
from tre.model.canonical import Json
from tre.model.facts import ProbeRun
from tre.model.observed import Known, ObservedWorkspace
from tre.model.order import Order, OrderKind
from tre.model.probe import ProbePlan, ProbeResult
from tre.model.record import AuditEntry, RecordKind
from tre.model.step import Done as StepDone
from tre.model.step import Outcome
from tre.model.step import Pending as StepPending
from tre.model.workspace import Access, DesiredWorkspace
from tre.planning.lifecycle import open_suspensions
from tre.planning.rungs import Ceiling, basis, proofs, refused, rung_to_probe, succeeded

MACHINE = "machine"


@dataclass(frozen=True, slots=True)
class Proved:
    """The runs to keep, and when to come back."""

    runs: tuple[ProbeRun, ...]
    answer: Answer


class Prover:
    """Runs probes when they are due, and turns one that got through into a suspend order and an evidence hold."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def later(self, now: datetime, after_s: float) -> datetime:
        """`now` plus seconds."""
        return now + timedelta(seconds=after_s)

    def knocks(self, runs: Sequence[ProbeRun], rung: Ceiling | None) -> bool | None:
        """Whether the knocks since the lock were refused; None: not tried, or not conclusive."""
        if rung is None or rung.access is not Access.LOCKED or not runs:
            return None
        last = runs[-1]
        if last.rung is not Access.LOCKED:
            return None
        if succeeded(last.results):
            return False
        classes = frozenset(r.probe_class for r in last.results)
        return True if classes and refused(last.results, classes) else None

    def data_problem(self, file: WorkspaceFile, now: datetime) -> str | None:
        """Why the data may not be mounted, or None. Hashes again what changed or was hashed too long ago."""
        for granted in file.data:
            problem = self._one_problem(file, granted, now)
            if problem:
                return problem
        return None

    def _one_problem(self, file: WorkspaceFile, granted: GrantedData, now: datetime) -> str | None:
        dataset, last = granted.dataset, granted.verified
        if dataset is None:
            return f"{granted.dataset_id} has no name in the catalogue"
        if last is not None and last.matches and last.manifest_digest == dataset.manifest_digest:
            young = timedelta(0) <= now - last.at <= timedelta(seconds=file.profile.dataset_verify_age_s)
            if young and self._ports.data.unchanged(dataset, last):
                return None
        with self._ports.store.read() as reader:
            manifest = reader.blob(dataset.manifest_digest)
        if manifest is None:
            return f"the manifest of dataset {dataset.name} is gone"
        verified = self._ports.data.verify(dataset, manifest)
        with self._ports.store.begin() as uow:
            uow.add(verified)
            detail = {"matches": verified.matches, "problem": verified.problem, "manifest": dataset.manifest_digest}
            uow.record(AuditEntry(RecordKind.DATASET_VERIFIED, "controller", dataset.name, detail))
        return None if verified.matches else f"dataset {dataset.name}: {verified.problem}"

    def prove(
        self,
        driver: Driver,
        file: WorkspaceFile,
        rung: Ceiling,
        full: DesiredWorkspace,
        observed: ObservedWorkspace,
        runs: tuple[ProbeRun, ...],
    ) -> Proved:
        """Run the plan that is due on this rung, if one is."""
        now = self._ports.clock.now()
        due = self._due(file, rung, full, observed, runs, now)
        if due is None:
            return Proved(runs, Done())
        wait = self._too_soon(due, basis(full.wall.isolation, full.mounts), runs, now)
        if wait:
            return Proved(runs, wait)
        try:
            run = self.run(driver, file, due, basis(full.wall.isolation, full.mounts))
        except Transient as error:
            retry_s = error.retry_after_s or self._ports.intervals.probe_retry_s
            return Proved(runs, Again(retry_s, f"probing: {error.reason}"))
        return Proved(self._keep(runs, run), Again(0.0, "probed"))

    def run(self, driver: Driver, file: WorkspaceFile, rung: Access, proves: str = "") -> ProbeRun:
        """Run one plan, record it, and act on what got through. Transient when it did not finish."""
        results = self._run(driver, file, self._plan(file, rung))
        if isinstance(results, StepPending):
            raise Transient(results.reason, results.retry_after_s)
        run = ProbeRun(rung, proves, results, self._ports.clock.now())
        self._note(file, run)
        return run

    def _due(
        self,
        file: WorkspaceFile,
        rung: Ceiling,
        full: DesiredWorkspace,
        observed: ObservedWorkspace,
        runs: tuple[ProbeRun, ...],
        now: datetime,
    ) -> Access | None:
        if rung.access is Access.LOCKED:
            doors = (observed.people, observed.sessions, observed.credentials, observed.mounts)
            shut = all(isinstance(d, Known) and not d.value for d in doors)
            ever = observed.wall != Known(None) or bool(file.footprint.items)
            return Access.LOCKED if shut and ever and self.knocks(runs, rung) is not True else None
        rules = file.proof_rules
        renew_after = now - timedelta(seconds=rules.age_s / 2)
        return rung_to_probe(rung.access, full, observed, proofs(full, runs, rules, now), renew_after)

    def _too_soon(self, due: Access, proves: str, runs: Sequence[ProbeRun], now: datetime) -> Again | None:
        """Bounded retries: a run of the same plan over the same basis that settled nothing is not repeated at once."""
        if not runs or (runs[-1].rung, runs[-1].basis) != (due, proves):
            return None
        rest = self._ports.intervals.probe_retry_s - (now - runs[-1].at).total_seconds()
        return Again(rest, "probes come again") if 0 < rest <= self._ports.intervals.probe_retry_s else None

    def _plan(self, file: WorkspaceFile, rung: Access) -> ProbePlan:
        required = file.proof_rules.required
        classes = required[Access.WALLED]
        if rung >= Access.MOUNTED:
            classes = classes | required[Access.MOUNTED]
        if rung is Access.LOCKED:
            classes = required[Access.LOCKED]
        return ProbePlan(
            rung=rung,
            classes=classes,
            granted=tuple(g.dataset.name for g in file.data if g.dataset) if rung >= Access.MOUNTED else (),
            foreign_paths=self._ports.decoys.paths,
            targets=self._ports.decoys.targets,
            slots=tuple(sorted(m.slot for m in file.members)),
        )

    def _run(self, driver: Driver, file: WorkspaceFile, plan: ProbePlan) -> tuple[ProbeResult, ...] | StepPending:
        ref = file.workspace.ref
        got: list[tuple[ProbeResult, ...]] = []

        def probe(_fence: int) -> tuple[Outcome, ...]:
            answer = driver.probe(ref, file.workspace.canary_slot, plan)
            if isinstance(answer, StepPending):
                return (answer,)
            got.append(answer)
            return (StepDone(),)

        intent = Intent(ref, "probe", Direction.LOOK, {"rung": plan.rung.name})
        try:
            outcome = self._ports.effects.carry_out([intent], lambda _: None, probe)[0]
        except ContractError as error:
            return StepPending(error.reason, self._ports.intervals.probe_retry_s)
        return outcome if isinstance(outcome, StepPending) else got[0]

    @staticmethod
    def _keep(runs: tuple[ProbeRun, ...], run: ProbeRun) -> tuple[ProbeRun, ...]:
        """In order of time, the newest last: of each rung the newest, and of this one also the newest before it."""
        same = sorted((r for r in runs if r.rung is run.rung), key=lambda r: r.at)[-1:]
        return (*(r for r in runs if r.rung is not run.rung), *same, run)

    def _note(self, file: WorkspaceFile, run: ProbeRun) -> None:
        """Record the run; a probe that got through suspends and holds at once. The machine may do that alone."""
        workspace = file.workspace.ref.workspace
        counts: dict[str, int] = {}
        for result in run.results:
            counts[result.verdict] = counts.get(result.verdict, 0) + 1
        through = succeeded(run.results)
        with self._ports.store.begin() as uow:
            detail: dict[str, Json] = {"rung": run.rung.name, "verdicts": dict(counts)}
            uow.record(AuditEntry(RecordKind.PROBED, "controller", workspace, detail))
        if through:
            self.breach(file, f"probe {through[0].name} got through: {through[0].detail}")

    def breach(self, file: WorkspaceFile, sentence: str) -> None:
        """A breach signal: suspend order and evidence hold, unless the machine already gave them."""
        workspace = file.workspace.ref.workspace
        now = self._ports.clock.now()
        with self._ports.store.begin() as uow:
            fresh = self._ports.dossier.workspace(uow, workspace)
            orders = fresh.permit.lineage.orders if fresh else ()
            mine = {o.order for o in orders if o.author == MACHINE and o.scope == file.scope}
            uow.record(AuditEntry(RecordKind.BREACH_SIGNAL, MACHINE, workspace, {"signal": sentence}))
            if fresh and mine.intersection(open_suspensions(fresh.permit.lineage, file.scope)):
                return
            review = now + timedelta(days=30)
            for kind, review_at in ((OrderKind.SUSPEND, None), (OrderKind.HOLD, review)):
                order = Order(self._ports.new_id(), kind, file.scope, MACHINE, sentence, now, review_at=review_at)
                uow.add(order)
                detail = {"order": order.order, "kind": kind, "reason": sentence}
                uow.record(AuditEntry(RecordKind.ORDER_GIVEN, MACHINE, workspace, detail))
