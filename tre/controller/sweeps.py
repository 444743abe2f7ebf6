"""What is looked at regularly, whoever poked: the clock, ends, orphans, checkpoints."""

import logging
from collections.abc import Collection
from datetime import datetime

from tre.audit.chain import checkpoint_message
from tre.contracts.driver import Driver
from tre.contracts.errors import ContractError
from tre.contracts.store import Direction, Intent
from tre.controller.ports import Ports
from tre.model.facts import Expired, PermitVersion, Workspace
from tre.model.observed import ObservedWorkspace
from tre.model.record import AuditEntry, Checkpoint, RecordKind
from tre.model.step import Step
from tre.model.workspace import WorkspaceRef
from tre.planning.doubt import ClockMark, ClockRules, ClockVerdict, judge

log = logging.getLogger("tre.controller")
_MARK_EVERY_S = 60.0


class Sweeps:
    """Looks that no message triggers."""

    def __init__(self, ports: Ports, rules: ClockRules | None = None) -> None:
        self._ports = ports
        self._rules = rules or ClockRules()
        self._verdict = ClockVerdict(None, rested=False)
        self._told: str | None = None
        self._orphans_at = -1e9
        self._checkpoint_at = -1e9

    # -- the clock ---------------------------------------------------------------------------------------------------

    def doubt(self) -> str | None:
        """Why the clock is not believed now, or None."""
        return self._verdict.doubt

    def rested(self) -> bool:
        """Whether no undoubted pass happened in the day before this one."""
        return self._verdict.rested

    def begin(self) -> None:
        """Judge the clock at the beginning of a tick, and raise the high-water mark when it is believed."""
        boot_id, boot_s = self._ports.clock.boot()
        seen = ClockMark(self._ports.clock.now(), boot_id, boot_s)
        with self._ports.store.read() as reader:
            last = read_mark(reader.setting("clock"))
        self._verdict = judge(last, seen, self._rules)
        if self._verdict.doubt:
            self._tell_doubt(self._verdict.doubt)
            return
        moved = (seen.wall - last.wall).total_seconds() if last else None
        if moved is None or moved >= _MARK_EVERY_S or (last and last.boot_id != boot_id):
            with self._ports.store.begin() as uow:
                uow.put_setting("clock", write_mark(seen))

    def _tell_doubt(self, doubt: str) -> None:
        if self._told != doubt.partition(" ")[0]:
            self._told = doubt.partition(" ")[0]
            with self._ports.store.begin() as uow:
                uow.record(AuditEntry(RecordKind.CLOCK_DOUBT, "controller", "clock", {"doubt": doubt}))

    # -- ends --------------------------------------------------------------------------------------------------------

    def expire(self) -> None:
        """Write the first EXPIRED of each lineage past its end. Never in doubt, never after a long rest."""
        if self._verdict.doubt or self._verdict.rested or self._ports.store.in_recovery():
            return
        now = self._ports.clock.now()
        with self._ports.store.read() as reader:
            done = {e.permit for e in reader.facts(Expired)}
            keys = {v.permit for v in reader.facts(PermitVersion)} - done
            files = [f for f in (self._ports.dossier.permit(reader, k) for k in keys) if f and now >= f.ends_at()]
        for file in files:
            with self._ports.store.begin() as uow:
                fact = Expired(file.key, file.ends_at(), now)
                if uow.fact(Expired, file.key.key) is None and uow.add(fact):
                    detail = {"not_after": file.ends_at().isoformat()}
                    uow.record(AuditEntry(RecordKind.PERMIT_EXPIRED, "controller", file.key.key, detail))

    def must_lock(self, workspaces: Collection[str]) -> frozenset[str]:
        """Those whose access is over or stopped: they go into the reserved lane."""
        now = self._ports.clock.now()
        with self._ports.store.read() as reader:
            files = [self._ports.dossier.workspace(reader, w) for w in workspaces]
        return frozenset(f.workspace.ref.workspace for f in files if f and not f.standing(now).active)

    # -- orphans and checkpoints -------------------------------------------------------------------------------------

    def regular(self) -> None:
        """Orphans at every sweep, a checkpoint every hour."""
        now_s = self._ports.clock.monotonic()
        if now_s - self._orphans_at >= self._ports.intervals.sweep_s:
            self._orphans_at = now_s
            self.lock_orphans()
        if now_s - self._checkpoint_at >= self._ports.intervals.checkpoint_s:
            self._checkpoint_at = now_s
            self.checkpoint()

    def lock_orphans(self) -> tuple[WorkspaceRef, ...]:
        """Lock at once whatever bears our mark and is in no fact. It is purged only by two people."""
        with self._ports.store.read() as reader:
            known = {w.ref for w in reader.facts(Workspace)}
            mine = str(reader.setting("installation"))
        orphans: list[WorkspaceRef] = []
        for driver in self._ports.drivers.values():
            for ref in driver.inventory():
                if ref not in known and ref.installation == mine:
                    orphans.append(ref)
                    for step in driver.plan(None, ObservedWorkspace.unknown(ref, "an orphan")):
                        self._lock(driver, step)
        return tuple(orphans)

    def _lock(self, driver: Driver, step: Step) -> None:
        intent = Intent(step.ref, f"{step.verb} {step.part} of an orphan", Direction.DOWN)
        try:
            self._ports.effects.carry_out([intent], lambda _: None, lambda f: driver.perform([step], f))
        except ContractError as error:
            log.warning("an orphan is not locked", extra={"workspace": step.ref.workspace, "why": error.reason})

    def checkpoint(self) -> Checkpoint | None:
        """Sign the head of the record if it moved. A sealed vault only delays it."""
        with self._ports.store.read() as reader:
            head, installation = reader.head(), str(reader.setting("installation"))
            last = reader.checkpoints()
        if head.sequence == 0 or (last and last[-1].sequence >= head.sequence):
            return None
        try:
            key = next(reversed(self._ports.signer.public_keys()))
            now = self._ports.clock.now()
            _, signature = self._ports.signer.sign(checkpoint_message(installation, head, now, key))
        except ContractError as error:
            log.warning("no checkpoint", extra={"why": error.reason})
            return None
        checkpoint = Checkpoint(installation, head.sequence, head.hash, now, key, signature)
        self._ports.store.keep_checkpoint(checkpoint)
        return checkpoint


def read_mark(value: object) -> ClockMark | None:
    """The mark as it was kept."""
    if not isinstance(value, dict):
        return None
    return ClockMark(datetime.fromisoformat(str(value["wall"])), str(value["boot_id"]), float(value["boot_s"]))


def write_mark(mark: ClockMark) -> dict[str, str | float]:
    """The mark as it is kept."""
    return {"wall": mark.wall.isoformat(), "boot_id": mark.boot_id, "boot_s": mark.boot_s}
