"""The epochs of credentials: opened for a rung, closed with it, and proved dead.

An epoch is open exactly while its credential may be delivered. Once closed it is never used again: a renewal, a
resume or a climb back takes a new one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from tre.contracts.credentials import Death
from tre.contracts.errors import ContractError
from tre.contracts.store import Direction, Intent
from tre.controller.ports import Ports
from tre.dossier.desire import Permitted
from tre.dossier.files import Epochs, WorkspaceFile
from tre.model.canonical import Json
from tre.model.facts import (
    CredentialClosed,
    CredentialDead,
    CredentialEpoch,
    CredentialIssued,
    FootprintItem,
    FootprintKind,
    Member,
)
from tre.model.record import AuditEntry, RecordKind
from tre.model.step import Done, Failed, Outcome
from tre.model.workspace import Access
from tre.planning.rungs import Ceiling


@dataclass(frozen=True, slots=True)
class Settled:
    """Credentials not yet proved dead and still within their life, and what kept us from proving it."""

    pending: tuple[str, ...]
    troubles: tuple[str, ...]


class CredentialKeeper:
    """Opens, closes and buries epochs."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def turn(self, file: WorkspaceFile, rung: Ceiling, permitted: Permitted, now: datetime) -> WorkspaceFile:
        """Make the open epochs those of the rung: of every permitted member on MOUNTED and above, else none."""
        if rung.access < Access.MOUNTED:
            return self.close(file, file.epochs.all_live(), rung.reason.value)
        persons = {person for person, _ in permitted}
        slots = {m.slot for m in file.members if m.person in persons}
        file = self.close(file, [e for e in file.epochs.all_live() if e.slot not in slots], "member is not permitted")
        return self._open(file, sorted(persons), now)

    def _open(self, file: WorkspaceFile, persons: Iterable[str], now: datetime) -> WorkspaceFile:
        wanting = [p for p in persons if (slot := file.slot_of(p)) is None or file.epochs.live(slot) is None]
        if not wanting:
            return file
        workspace = file.workspace.ref.workspace
        with self._ports.store.begin() as uow:
            for person in wanting:
                slot = file.slot_of(person)
                if slot is None:
                    slot = uow.allocate("slot")
                    uow.add(Member(workspace, person, slot, now))
                epoch = uow.allocate(f"epoch-{workspace}-{slot}")
                for name in self._ports.authority.footprint(file.handle(slot, epoch)):
                    uow.add(FootprintItem(workspace, FootprintKind.VAULT_ENTITY, name))
                uow.add(CredentialEpoch(workspace, slot, epoch, now))
                detail: dict[str, Json] = {"slot": slot, "epoch": epoch, "person": person}
                uow.record(AuditEntry(RecordKind.CREDENTIAL_OPENED, "controller", workspace, detail))
            members = uow.facts(Member, workspace)
            epochs = replace(file.epochs, opened=uow.facts(CredentialEpoch, workspace))
        return replace(file, members=members, epochs=epochs)

    def close(self, file: WorkspaceFile, epochs: Iterable[CredentialEpoch], reason: str) -> WorkspaceFile:
        """Close epochs durably; from here on none of them is ever delivered again."""
        closing = tuple(epochs)
        if not closing:
            return file
        now = self._ports.clock.now()
        closed = tuple(CredentialClosed(e.workspace, e.slot, e.epoch, reason, now) for e in closing)
        with self._ports.store.begin() as uow:
            for fact in closed:
                uow.add(fact)
        return replace(file, epochs=replace(file.epochs, closed=(*file.epochs.closed, *closed)))

    def settle(self, file: WorkspaceFile, now: datetime) -> Settled:
        """Revoke every closed epoch and prove it dead. Safe to repeat; what fails is tried again next pass."""
        pending: list[str] = []
        troubles: list[str] = []
        fresh = self._fresh(file)
        for closed in fresh.dying():
            handle = file.handle(closed.slot, closed.epoch)
            trouble = self._bury(file, closed)
            if trouble is not None:
                troubles.append(trouble)
                if now < file.permit.ends_at():
                    pending.append(handle.entity)
        return Settled(tuple(pending), tuple(troubles))

    def _fresh(self, file: WorkspaceFile) -> Epochs:
        workspace = file.workspace.ref.workspace
        with self._ports.store.read() as reader:
            return Epochs(
                reader.facts(CredentialEpoch, workspace),
                reader.facts(CredentialClosed, workspace),
                reader.facts(CredentialDead, workspace),
            )

    def _accessors(self, closed: CredentialClosed) -> tuple[str, ...]:
        """Of the secrets we know of. One that was minted while we died is killed with the epoch all the same."""
        with self._ports.store.read() as reader:
            issued = reader.facts(CredentialIssued, closed.workspace)
        return tuple(i.accessor for i in issued if (i.slot, i.epoch) == (closed.slot, closed.epoch))

    def _bury(self, file: WorkspaceFile, closed: CredentialClosed) -> str | None:
        """Revoke and prove one epoch. None: dead; else the sentence that says why not (yet)."""
        handle = file.handle(closed.slot, closed.epoch)

        accessors = self._accessors(closed)

        def revoke(_fence: int) -> tuple[Outcome, ...]:
            try:
                self._ports.authority.revoke(handle, accessors)
            except ContractError as error:
                return (Failed(error.reason, transient=True),)
            return (Done(removed=(handle.entity,)),)

        intent = Intent(handle.ref, "revoke credentials", Direction.DOWN, {"entity": handle.entity})
        outcome = self._ports.effects.carry_out([intent], lambda _: None, revoke)[0]
        if not isinstance(outcome, Done):
            return f"{handle.entity} is not revoked: {outcome.reason}"
        proof = self._ports.authority.prove_dead(handle, accessors)
        if proof.death is not Death.DEAD:
            return f"{handle.entity} is not proved dead: {proof.death} ({proof.method})"
        now = self._ports.clock.now()
        with self._ports.store.begin() as uow:
            uow.add(CredentialDead(closed.workspace, closed.slot, closed.epoch, proof.method, now))
            detail: dict[str, Json] = {"slot": closed.slot, "epoch": closed.epoch, "method": proof.method}
            uow.record(AuditEntry(RecordKind.CREDENTIAL_DEAD, "controller", closed.workspace, detail))
        return None
