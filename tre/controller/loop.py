"""The loop: who leads, what is due, which lane, and what an error costs. The only broad ``except`` is here."""

import logging
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from tre.contracts.driver import CheckDepth, Health
from tre.contracts.errors import ContractError, Refused
from tre.contracts.store import StoreUnavailable
from tre.controller.leading import Leader
from tre.controller.ports import Again, Answer, Ports
from tre.controller.sweeps import Sweeps
from tre.controller.workspaces import WorkspaceReconciler
from tre.model.facts import Workspace
from tre.model.probe import ProbeResult

log = logging.getLogger("tre.controller")
HEALTH_S: Final = 60.0
BACKOFF_MAX_S: Final = 60.0
TICK_S: Final = 0.2
_SOON_S: Final = 1.0


@dataclass(slots=True)
class _Memory:
    """What the loop knows between ticks. Losing it costs time, never truth."""

    health: dict[str, Health] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    due: dict[str, datetime] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)


class Controller:
    """Runs reconcilers over whatever is due, as long as it leads."""

    def __init__(self, ports: Ports, leader: Leader) -> None:
        self._ports = ports
        self._leader = leader
        self._sweeps = Sweeps(ports)
        self._reconciler = WorkspaceReconciler(ports, self._sweeps)
        self._memory = _Memory()
        self._lock = threading.Lock()

    # -- one process, one call ---------------------------------------------------------------------------------------

    def settle(self, workspaces: Collection[str] | None, limit_s: float) -> Mapping[str, Answer]:
        """Take the lease and run passes until nothing more happens soon, or for `limit_s`. Gives the lease back.

        Refused when another controller leads: poke it and wait instead.
        """
        self._leader.take()
        answers: dict[str, Answer] = {}
        try:
            self._leader.follow(self._ports)
            self._sweeps.begin()
            until = self._ports.clock.monotonic() + limit_s
            left = self._known() if workspaces is None else tuple(workspaces)
            while left and self._ports.clock.monotonic() < until:
                self._leader.take()
                self._sweeps.expire()
                answers |= self._pass(left)
                left = tuple(w for w in left if self._soon(answers.get(w)))
                wait = min((a.after_s for w in left if isinstance(a := answers[w], Again)), default=0.0)
                time.sleep(min(wait, _SOON_S))
            self._sweeps.checkpoint()
        finally:
            self._leader.give_back()
        return answers

    def probe_now(self, workspace: str) -> tuple[ProbeResult, ...]:
        """Run the probes of the present rung, whether they are due or not; a breach is acted upon as always."""
        return self._reconciler.probe_now(workspace)

    def end_session(self, workspace: str, session: str) -> None:
        """End one session of a workspace."""
        self._reconciler.end_session(workspace, session)

    @staticmethod
    def _soon(answer: Answer | None) -> bool:
        return isinstance(answer, Again) and answer.after_s <= _SOON_S

    def _known(self) -> tuple[str, ...]:
        with self._ports.store.read() as reader:
            return tuple(w.ref.workspace for w in reader.facts(Workspace))

    # -- the daemon --------------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Lead when nobody else does, and look at whatever is due, until `stop`. Lock-outs have a lane of their own."""
        with ThreadPoolExecutor(4, "locks") as locks, ThreadPoolExecutor(4, "work") as work:
            while not stop.is_set():
                try:
                    if self._leader.try_take():
                        self._leader.follow(self._ports)
                        self._turn(locks, work)
                except (StoreUnavailable, ContractError) as error:
                    log.warning("the tick failed", extra={"why": str(error)})
                stop.wait(TICK_S)
        self._leader.give_back()

    def _turn(self, locks: ThreadPoolExecutor, work: ThreadPoolExecutor) -> None:
        self._sweeps.begin()
        self._sweeps.expire()
        self._sweeps.regular()
        due = self._due()
        shut = self._sweeps.must_lock(due)
        for lane, ids in ((locks, [w for w in due if w in shut]), (work, [w for w in due if w not in shut])):
            for backend, group in self._by_backend(ids).items():
                with self._lock:
                    free = [w for w in group if w not in self._memory.busy]
                    self._memory.busy.update(free)
                if free:
                    future = lane.submit(self._attempt, backend, free)
                    future.add_done_callback(partial(self._release, tuple(free)))

    def _release(self, ids: Iterable[str], future: "Future[Mapping[str, Answer]]") -> None:
        with self._lock:
            self._memory.busy.difference_update(ids)
        error = future.exception()
        if error is not None:
            log.error("a lane failed", exc_info=error)

    def _due(self) -> tuple[str, ...]:
        now = self._ports.clock.now()
        poked = set(self._ports.store.take_pokes())
        with self._ports.store.read() as reader:
            statuses = reader.statuses()
            every = [w.ref.workspace for w in reader.facts(Workspace)]

        def at(workspace: str) -> datetime:
            status = statuses.get(workspace)
            remembered = self._memory.due.get(workspace)
            return remembered or (status.next_look_at if status else now)

        return tuple(w for w in every if w in poked or at(w) <= now)

    # -- passes ------------------------------------------------------------------------------------------------------

    def _pass(self, workspaces: Collection[str]) -> dict[str, Answer]:
        answers: dict[str, Answer] = {}
        for backend, group in self._by_backend(workspaces).items():
            answers |= self._attempt(backend, group)
        return answers

    def _by_backend(self, workspaces: Collection[str]) -> dict[str, list[str]]:
        wanted = set(workspaces)
        groups: dict[str, list[str]] = {}
        with self._ports.store.read() as reader:
            for workspace in reader.facts(Workspace):
                if workspace.ref.workspace in wanted and workspace.ref.backend in self._ports.drivers:
                    groups.setdefault(workspace.ref.backend, []).append(workspace.ref.workspace)
        return groups

    def _attempt(self, backend: str, group: list[str]) -> dict[str, Answer]:
        """One pass over a group; if it fails as a whole, one by one, so that a poisoned one spoils no other."""
        try:
            answers = dict(self._reconciler.reconcile(backend, group, self._health(backend)))
        except Refused:
            raise
        except Exception as error:  # noqa: BLE001  # the one place that turns errors into back-off, status and log
            if len(group) > 1:
                return {w: a for one in group for w, a in self._attempt(backend, [one]).items()}
            answers = {group[0]: self._failed(group[0], error)}
        else:
            for workspace in group:
                self._memory.failures.pop(workspace, None)
        self._remember(answers)
        return answers

    def _failed(self, workspace: str, error: Exception) -> Again:
        """Back-off doubles up to a minute; what failed is said once a try, and shown."""
        count = self._memory.failures.get(workspace, 0) + 1
        self._memory.failures[workspace] = count
        known = isinstance(error, ContractError | StoreUnavailable)
        log.error("a pass failed", extra={"workspace": workspace}, exc_info=None if known else error)
        return Again(min(BACKOFF_MAX_S, 0.5 * 2**count), f"{type(error).__name__}: {error}")

    def _remember(self, answers: Mapping[str, Answer]) -> None:
        now = self._ports.clock.now()
        for workspace, answer in answers.items():
            after_s = answer.after_s if isinstance(answer, Again) else self._ports.intervals.sweep_s
            self._memory.due[workspace] = now + timedelta(seconds=min(after_s, self._ports.intervals.sweep_s))

    def _health(self, backend: str) -> Health:
        """What the backend can do, looked at afresh every minute. A check that fails is a backend without anything."""
        known = self._memory.health.get(backend)
        now = self._ports.clock.now()
        if known is None or abs((now - known.at).total_seconds()) > HEALTH_S:
            try:
                found = self._ports.drivers[backend].check(CheckDepth.CANARY)
            except ContractError as error:
                log.warning("check failed", extra={"backend": backend, "why": error.reason})
                found = Health(frozenset(), (), now)
            known = found if isinstance(found, Health) else Health(frozenset(), (), now)
            self._memory.health[backend] = known
        return known
