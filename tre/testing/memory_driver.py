"""A backend in a file: the memory twin of a driver. Passes the same suite as a real one.

Its world lies outside the process, so that killing the process is a real crash. Faults are knobs in the world's
file, so that another process can turn them.
"""

import fcntl
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from tre.contracts.clock import Clock
from tre.contracts.driver import (
    CONTRACT_VERSION,
    CheckDepth,
    DriverInfo,
    Ended,
    EndReason,
    FenceReach,
    Health,
    Session,
    SessionEvent,
    SessionRequest,
    Terminal,
)
from tre.contracts.errors import ContractError, Permanent, Refused, Transient
from tre.contracts.secrets import SecretSource
from tre.model.facts import FootprintItem, FootprintKind
from tre.model.observed import Admission, HeldCredential, Known, LiveSession, ObservedWorkspace
from tre.model.probe import ProbeClass, ProbePlan, ProbeResult, Verdict
from tre.model.step import Done, Failed, Outcome, Part, Pending, Step, Verb
from tre.model.workspace import Access, AreaKind, Capability, DesiredWorkspace, Limits, Mount, WallSpec, WorkspaceRef
from tre.planning import ladder

_VALUES: Final[dict[Part, TypeAdapter[Any]]] = {
    Part.WALL: TypeAdapter(WallSpec),
    Part.LIMITS: TypeAdapter(Limits),
    Part.MOUNTS: TypeAdapter(tuple[Mount, ...]),
    Part.CREDENTIALS: TypeAdapter(tuple[HeldCredential, ...]),
    Part.PEOPLE: TypeAdapter(tuple[Admission, ...]),
    Part.SESSIONS: TypeAdapter(tuple[LiveSession, ...]),
    Part.STORAGE: TypeAdapter(tuple[str, ...]),
}
_REF: Final = TypeAdapter(WorkspaceRef)
_EMPTY: Final[dict[str, Any]] = {"things": {}, "knobs": {}}


class World:
    """The far side: a JSON file under a lock."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @contextmanager
    def open(self, *, write: bool = True) -> Iterator[dict[str, Any]]:
        """The world, exclusively; changes are kept whole or not at all."""
        with self._file.with_suffix(".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            world = json.loads(self._file.read_text()) if self._file.exists() else json.loads(json.dumps(_EMPTY))
            yield world
            if write:
                new = self._file.with_suffix(".new")
                new.write_text(json.dumps(world))
                new.rename(self._file)

    def turn(self, knob: str, value: object) -> None:
        """Set a fault: ``outage`` (a sentence), ``hole`` (a probe class), ``lose-answer`` (a step)."""
        with self.open() as world:
            world["knobs"][knob] = value


class MemoryDriver:
    """`tre.contracts.driver.Driver` and `SessionHost` over a `World`."""

    def __init__(
        self, world: World, clock: Clock, secrets: SecretSource, capabilities: Collection[Capability] | None = None
    ) -> None:
        self._world = world
        self._clock = clock
        self._secrets = secrets
        self._capabilities = frozenset(Capability if capabilities is None else capabilities)

    def describe(self) -> DriverInfo:
        """See the contract."""
        return DriverInfo("memory", "sandbox", CONTRACT_VERSION, self._capabilities, FenceReach.EVERY_STEP, 5.0)

    def check(self, depth: CheckDepth) -> Health | Pending:
        """See the contract."""
        del depth
        with self._open(write=False):
            return Health(self._capabilities, (), self._clock.now())

    def footprint(self, desired: DesiredWorkspace, canary_slot: int) -> tuple[FootprintItem, ...]:
        """See the contract."""
        ref = desired.ref
        slots = sorted({canary_slot, *(m.slot for m in desired.members)})
        return (
            FootprintItem(ref.workspace, FootprintKind.MARK, ref.mark),
            *(FootprintItem(ref.workspace, FootprintKind.ACCOUNT, f"{ref.far_name}-{slot}") for slot in slots),
        )

    @contextmanager
    def _open(self, *, write: bool = True) -> Iterator[dict[str, Any]]:
        with self._world.open(write=write) as world:
            if world["knobs"].get("outage"):
                raise Transient(str(world["knobs"]["outage"]))
            yield world

    def observe(self, refs: Collection[WorkspaceRef]) -> Mapping[WorkspaceRef, ObservedWorkspace]:
        """See the contract."""
        try:
            with self._open(write=False) as world:
                return {ref: self._seen(world, ref) for ref in refs}
        except Transient as error:
            return {ref: ObservedWorkspace.unknown(ref, error.reason) for ref in refs}

    def _seen(self, world: dict[str, Any], ref: WorkspaceRef) -> ObservedWorkspace:
        try:
            thing = self._thing(world, ref)
        except Permanent as error:
            return ObservedWorkspace.unknown(ref, error.reason)
        if thing is None:
            return ObservedWorkspace.absent(ref)
        live = tuple(s for s in self._value(thing, Part.SESSIONS) if s.ends_at > self._clock.now())
        return ObservedWorkspace(
            ref,
            wall=Known(self._value(thing, Part.WALL)),
            limits=Known(self._value(thing, Part.LIMITS)),
            mounts=Known(self._value(thing, Part.MOUNTS)),
            credentials=Known(self._value(thing, Part.CREDENTIALS)),
            people=Known(self._value(thing, Part.PEOPLE)),
            sessions=Known(live),
            storage=Known(self._value(thing, Part.STORAGE)),
        )

    def _thing(self, world: dict[str, Any], ref: WorkspaceRef) -> dict[str, Any] | None:
        thing: dict[str, Any] | None = world["things"].get(ref.far_name)
        if thing is not None and thing.get("mark") != ref.mark:
            raise Permanent(f"{ref.far_name} bears {thing.get('mark') or 'no mark'}, not {ref.mark}")
        return thing

    @staticmethod
    def _value(thing: dict[str, Any], part: Part) -> Any:
        raw = thing.get(part)
        if raw is None:
            return None if part in (Part.WALL, Part.LIMITS) else ()
        return _VALUES[part].validate_json(raw)

    def plan(self, desired: DesiredWorkspace | None, observed: ObservedWorkspace) -> tuple[Step, ...]:
        """See the contract."""
        return ladder.plan(desired, observed)

    def inventory(self) -> Iterable[WorkspaceRef]:
        """See the contract."""
        with self._open(write=False) as world:
            return [_REF.validate_python(t["ref"]) for t in world["things"].values() if t.get("mark")]

    def perform(self, steps: Sequence[Step], fence: int) -> tuple[Outcome, ...]:
        """See the contract."""
        return tuple(self._one(step, fence) for step in steps)

    def _one(self, step: Step, fence: int) -> Outcome:
        try:
            with self._open() as world:
                thing = self._thing(world, step.ref)
                if thing is None and step.kind != (Verb.ENSURE, Part.WALL):
                    return Failed("there is no wall", transient=True) if step.raises else Done()
                if thing is None:
                    ref = json.loads(_REF.dump_json(step.ref))
                    thing = world["things"][step.ref.far_name] = {"mark": step.ref.mark, "ref": ref, "fence": 0}
                if fence < thing["fence"]:
                    raise Refused(f"fence {fence} is lower than {thing['fence']}")
                thing["fence"] = fence
                outcome = self._act(world, thing, step)
                lost = world["knobs"].get("lose-answer") == f"{step.verb} {step.part}"
        except ContractError as error:
            return Failed(error.reason, transient=isinstance(error, Transient))
        return Failed("the answer was lost", transient=True) if lost else outcome

    def _act(self, world: dict[str, Any], thing: dict[str, Any], step: Step) -> Outcome:
        part, value = step.part, step.value
        if step.verb is Verb.ENSURE:
            return self._ensure(thing, step)
        if part is Part.WALL:
            del world["things"][step.ref.far_name]
            return Done((step.ref.far_name,))
        before = self._value(thing, part)
        if value is None or before is None:
            thing.pop(part, None)
            return Done((f"{part}",) if before else ())
        named: dict[Part, Callable[[Any], Any]] = {
            Part.PEOPLE: lambda x: x.slot,
            Part.CREDENTIALS: lambda x: x.slot,
            Part.SESSIONS: lambda x: x.session,
            Part.MOUNTS: lambda x: x.name,
        }
        gone = set(value)  # type: ignore[arg-type]  # a tuple of slots or names, by the step's kind
        kept = tuple(x for x in before if named[part](x) not in gone)
        thing[part] = _VALUES[part].dump_json(kept).decode()
        return Done(tuple(f"{part} {g}" for g in sorted(map(str, gone))))

    def _ensure(self, thing: dict[str, Any], step: Step) -> Outcome:
        value: Any = step.value
        if step.part is Part.CREDENTIALS:
            for held in value:
                self._secrets.fetch(step.ref, held)
            kept = {h.slot: h for h in (*self._value(thing, Part.CREDENTIALS), *value)}
            value = tuple(sorted(kept.values()))
        if step.part is Part.WALL:
            areas = [a.kind.value for a in value.isolation.areas if a.kind is not AreaKind.HOME]
            thing[Part.STORAGE] = json.dumps(sorted({*self._value(thing, Part.STORAGE), *areas}))
        if step.part is Part.PEOPLE:
            homes = [f"home-{a.slot}" for a in value]
            thing[Part.STORAGE] = json.dumps(sorted({*self._value(thing, Part.STORAGE), *homes}))
        thing[step.part] = _VALUES[step.part].dump_json(value).decode()
        return Done()

    def attach(self, ref: WorkspaceRef, request: SessionRequest) -> Session | Pending:
        """See the contract: the gate is read and the session written under one lock."""
        with self._open() as world:
            thing = self._thing(world, ref)
            people = self._value(thing, Part.PEOPLE) if thing else ()
            admitted = next((a for a in people if a.slot == request.slot), None)
            wall = self._value(thing, Part.WALL) if thing else None
            if thing is None or admitted is None or wall is None:
                raise Refused("this account is not admitted")
            ends_at = min(request.ends_at, admitted.ends_at, wall.ends_at)
            if ends_at <= self._clock.now():
                raise Refused("the end has come")
            live = LiveSession(request.session, request.slot, ends_at, self._value(thing, Part.MOUNTS))
            sessions = (*self._value(thing, Part.SESSIONS), live)
            thing[Part.SESSIONS] = _VALUES[Part.SESSIONS].dump_json(tuple(sorted(sessions))).decode()
        return MemorySession(self, ref, replace(request, ends_at=ends_at))

    def lives(self, ref: WorkspaceRef, session: str) -> bool:
        """Whether a session is there and its end has not come."""
        with self._world.open(write=False) as world:
            thing = world["things"].get(ref.far_name)
            live = self._value(thing, Part.SESSIONS) if thing else ()
        return any(s.session == session and s.ends_at > self._clock.now() for s in live)

    def leave(self, ref: WorkspaceRef, session: str) -> None:
        """A session's own end: no step, so no fence."""
        with self._world.open() as world:
            thing = world["things"].get(ref.far_name)
            if thing is not None:
                kept = tuple(s for s in self._value(thing, Part.SESSIONS) if s.session != session)
                thing[Part.SESSIONS] = _VALUES[Part.SESSIONS].dump_json(kept).decode()

    def probe(self, ref: WorkspaceRef, canary_slot: int, probes: ProbePlan) -> tuple[ProbeResult, ...] | Pending:
        """See the contract: answered from the world's facts, a hole in it lets its class through."""
        with self._open(write=False) as world:
            thing = self._thing(world, ref)
            hole, unsure = world["knobs"].get("hole"), world["knobs"].get("inconclusive")
            open_doors = bool(thing) and bool(self._value(thing or {}, Part.PEOPLE))
        if probes.rung is not Access.LOCKED and (thing is None or self._value(thing, Part.WALL) is None):
            raise Refused("there is no wall to probe")

        def verdict(klass: ProbeClass) -> Verdict:
            if klass == hole or (klass is ProbeClass.LOGIN and open_doors):
                return Verdict.SUCCEEDED
            return Verdict.INCONCLUSIVE if klass == unsure else Verdict.REFUSED

        now = self._clock.now()
        return tuple(ProbeResult(f"try {k}", k, verdict(k), f"slot {canary_slot}", now) for k in sorted(probes.classes))


class MemorySession:
    """A session that lives in the world's file and carries no bytes."""

    def __init__(self, driver: MemoryDriver, ref: WorkspaceRef, request: SessionRequest) -> None:
        self._driver = driver
        self._ref = ref
        self._request = request

    @property
    def session(self) -> str:
        """See the contract."""
        return self._request.session

    @property
    def ends_at(self) -> datetime:
        """See the contract."""
        return self._request.ends_at

    def fileno(self) -> int:
        """There is nothing to wait for."""
        return -1

    def send(self, data: bytes) -> None:
        """Taken and forgotten."""

    def send_eof(self) -> None:
        """Nothing to close."""

    def resize(self, size: Terminal) -> None:
        """No terminal."""

    def receive(self, timeout_s: float | None) -> SessionEvent | None:
        """Ended once the world has no such session any more."""
        del timeout_s
        if self._driver.lives(self._ref, self.session):
            return None
        return Ended(EndReason.ENDED_BY_ORDER, None, 0, 0)

    def close(self) -> None:
        """Take the session out of the world."""
        self._driver.leave(self._ref, self.session)
