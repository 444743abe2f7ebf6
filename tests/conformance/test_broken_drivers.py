"""The suite is itself tested: each deliberately broken driver must be caught, by the promise it breaks."""

import inspect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from memory_kit import MemoryKit

from tre.contracts.driver import Session, SessionRequest
from tre.contracts.errors import ContractError
from tre.model.observed import Known, ObservedWorkspace
from tre.model.probe import ProbePlan, ProbeResult, Verdict
from tre.model.step import Done, Failed, Outcome, Part, Pending, Step, Verb
from tre.model.workspace import Access, DesiredWorkspace, WorkspaceRef
from tre.testing.driver_suite import DriverSuite
from tre.testing.kit import Bench
from tre.testing.memory_driver import MemoryDriver, MemorySession


class AdmitsBeforeTheWall(MemoryDriver):
    """Plans people first; its far side lets it."""

    def plan(self, desired: DesiredWorkspace | None, observed: ObservedWorkspace) -> tuple[Step, ...]:
        return tuple(sorted(super().plan(desired, observed), key=lambda s: s.part is not Part.PEOPLE))

    def _one(self, step: Step, fence: int) -> Outcome:
        if step.kind == (Verb.ENSURE, Part.PEOPLE):
            with self._world.open() as world:
                mark = {"mark": step.ref.mark, "ref": {"installation": step.ref.installation,
                        "workspace": step.ref.workspace, "backend": step.ref.backend,
                        "generation": step.ref.generation}, "fence": 0}  # fmt: skip
                world["things"].setdefault(step.ref.far_name, mark)
        return super()._one(step, fence)


class FailsWhenCreatingTwice(MemoryDriver):
    def _one(self, step: Step, fence: int) -> Outcome:
        if step.kind == (Verb.ENSURE, Part.WALL) and self.observe([step.ref])[step.ref].wall == Known(step.value):
            return Failed("exists already", transient=False)
        return super()._one(step, fence)


class RemovesStrangers(MemoryDriver):
    def _one(self, step: Step, fence: int) -> Outcome:
        with self._world.open() as world:
            thing = world["things"].get(step.ref.far_name)
            if thing and thing.get("mark") != step.ref.mark:
                del world["things"][step.ref.far_name]
        return super()._one(step, fence)


class RemembersInProcess(MemoryDriver):
    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.memory: dict[WorkspaceRef, bool] = {}

    def perform(self, steps: Sequence[Step], fence: int) -> tuple[Outcome, ...]:
        for step in steps:
            if step.kind == (Verb.ENSURE, Part.WALL):
                self.memory[step.ref] = True
            elif step.raises and step.ref not in self.memory:
                return tuple(Failed("never heard of it", transient=True) for _ in steps)
        return super().perform(steps, fence)


class NeverRemovesPeople(MemoryDriver):
    def _one(self, step: Step, fence: int) -> Outcome:
        return Done() if step.kind == (Verb.REMOVE, Part.PEOPLE) else super()._one(step, fence)


class CreatesWhileObserving(MemoryDriver):
    def observe(self, refs: Collection[WorkspaceRef]) -> Mapping[WorkspaceRef, ObservedWorkspace]:
        with self._world.open() as world:
            for ref in refs:
                world["things"].setdefault(
                    ref.far_name, {"mark": ref.mark, "ref": None, "fence": 0, "storage": '["x"]'}
                )
        return super().observe(refs)


class ListsEveryones(MemoryDriver):
    def inventory(self) -> list[WorkspaceRef]:
        return [*super().inventory(), *self._asked]

    _asked: list[WorkspaceRef] = []  # noqa: RUF012  # a broken driver

    def observe(self, refs: Collection[WorkspaceRef]) -> Mapping[WorkspaceRef, ObservedWorkspace]:
        type(self)._asked.extend(refs)
        return super().observe(refs)


class LeavesTheWallBehind(MemoryDriver):
    def _one(self, step: Step, fence: int) -> Outcome:
        return Done() if step.kind == (Verb.REMOVE, Part.WALL) else super()._one(step, fence)


class BlindToDrift(MemoryDriver):
    def _seen(self, world: dict, ref: WorkspaceRef) -> ObservedWorkspace:
        seen = super()._seen(world, ref)
        thing = world["things"].get(ref.far_name)
        if thing and "wall" in thing:
            type(self).last[ref] = seen.wall
        elif thing and ref in self.last and "people" in thing:
            return replace(seen, wall=self.last[ref])
        return seen

    last: dict = {}  # noqa: RUF012  # a broken driver


class ReadyAlthoughAProbeSucceeded(MemoryDriver):
    """Says refused whatever happened."""

    def probe(self, ref: WorkspaceRef, canary_slot: int, probes: ProbePlan) -> tuple[ProbeResult, ...] | Pending:
        results = super().probe(ref, canary_slot, probes)
        assert isinstance(results, tuple)
        return tuple(replace(r, verdict=Verdict.REFUSED) for r in results)


class TakesInconclusiveForAnAnswer(MemoryDriver):
    def probe(self, ref: WorkspaceRef, canary_slot: int, probes: ProbePlan) -> tuple[ProbeResult, ...] | Pending:
        try:
            return super().probe(ref, canary_slot, probes)
        except ContractError:
            return ()


class IgnoresTheEnd(MemoryDriver):
    def attach(self, ref: WorkspaceRef, request: SessionRequest) -> Session | Pending:
        session = super().attach(ref, request)
        with self._world.open() as world:
            thing = world["things"][ref.far_name]
            thing["sessions"] = thing["sessions"].replace(session.ends_at.strftime("%Y-%m-%d"), "2099-01-01")
        return session


class LetsAnAttachSlipPastTheLock(MemoryDriver):
    """Admits from memory of the last gate it saw, not from the far side."""

    gates: dict = {}  # noqa: RUF012  # a broken driver

    def _one(self, step: Step, fence: int) -> Outcome:
        if step.kind == (Verb.ENSURE, Part.PEOPLE):
            self.gates[step.ref] = step.value
        return super()._one(step, fence)

    def attach(self, ref: WorkspaceRef, request: SessionRequest) -> Session | Pending:
        if any(a.slot == request.slot for a in self.gates.get(ref, ())):
            return MemorySession(self, ref, request)
        return super().attach(ref, request)


class CannotLockBlind(MemoryDriver):
    def plan(self, desired: DesiredWorkspace | None, observed: ObservedWorkspace) -> tuple[Step, ...]:
        if not observed.fully_known and (desired is None or desired.access is Access.LOCKED):
            return ()
        return super().plan(desired, observed)


class DestroysBlind(MemoryDriver):
    def plan(self, desired: DesiredWorkspace | None, observed: ObservedWorkspace) -> tuple[Step, ...]:
        if desired is None and not observed.fully_known:
            return (Step(observed.ref, Verb.REMOVE, Part.WALL),)
        return super().plan(desired, observed)


class PutsTheSecretIntoFacts(MemoryDriver):
    def _ensure(self, thing: dict, step: Step) -> Outcome:
        if step.part is Part.CREDENTIALS:
            thing["note"] = self._secrets.fetch(step.ref, step.value[0]).reveal()  # type: ignore[index,arg-type]
        return super()._ensure(thing, step)


class ForgetsTheFence(MemoryDriver):
    def _one(self, step: Step, fence: int) -> Outcome:
        return super()._one(step, max(fence, 1 << 40))


BROKEN = {
    AdmitsBeforeTheWall: "d7",
    FailsWhenCreatingTwice: "d8",
    RemovesStrangers: "d13",
    RemembersInProcess: "d18",
    NeverRemovesPeople: "d24",
    CreatesWhileObserving: "d1",
    ListsEveryones: "d14",
    LeavesTheWallBehind: "d20",
    BlindToDrift: "d6",
    ReadyAlthoughAProbeSucceeded: "knocks",
    TakesInconclusiveForAnAnswer: "a_probe_without",
    IgnoresTheEnd: "d21",
    LetsAnAttachSlipPastTheLock: "d24",
    CannotLockBlind: "d22",
    DestroysBlind: "d22",
    PutsTheSecretIntoFacts: "d16",
    ForgetsTheFence: "d25",
}


def caught(driver: type[MemoryDriver], folder: Path) -> set[str]:
    """Names of the suite's tests that fail for a driver."""
    suite, failed = DriverSuite(), set()
    for number, (name, test) in enumerate(inspect.getmembers(suite, inspect.ismethod)):
        if not name.startswith("test_"):
            continue
        own = folder / str(number)
        own.mkdir()
        kit = MemoryKit(own)
        kit.driver_class = driver
        try:
            test(Bench(kit))
        except (Exception, pytest.fail.Exception):  # noqa: BLE001  # any way of failing is being caught
            failed.add(name)
    return failed


def test_the_good_driver_is_not_caught(tmp_path: Path) -> None:
    assert caught(MemoryDriver, tmp_path) == set()


@pytest.mark.parametrize("driver", BROKEN, ids=lambda d: d.__name__)
def test_a_broken_driver_is_caught(driver: type[MemoryDriver], tmp_path: Path) -> None:
    found = caught(driver, tmp_path)
    assert any(BROKEN[driver] in name for name in found), f"{driver.__name__} was caught only by {sorted(found)}"
