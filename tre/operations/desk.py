"""What every use case needs, and the errors they share."""

from collections.abc import Callable
from dataclasses import dataclass

from tre.contracts.clock import Clock
from tre.contracts.store import Reader, Store, UnitOfWork
from tre.dossier.files import Dossier, PermitFile, WorkspaceFile
from tre.model.canonical import Json
from tre.model.facts import Workspace
from tre.model.order import LineageKey
from tre.model.record import AuditEntry, RecordKind


class NotFound(Exception):
    """There is no such thing; the message names what was asked for."""


class Denied(Exception):
    """It may not be done; the message says why in one line, `hint` what would help."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.hint = hint


class NeedsApproval(Denied):
    """It needs two people: a request was written, and `request` names it."""

    def __init__(self, request: str, act: str) -> None:
        hint = f"two approvers run: tre approval approve {request} --key FILE"
        super().__init__(f"{act} needs two approvers; request {request} was written", hint)
        self.request = request


@dataclass(frozen=True, slots=True)
class Desk:
    """The common ground of all use cases. `principal` is the authenticated caller's id."""

    store: Store
    clock: Clock
    dossier: Dossier
    installation: str
    principal: str
    new_id: Callable[[], str]

    def note(self, uow: UnitOfWork, kind: RecordKind, subject: str, /, **detail: Json) -> None:
        """Record that the principal did something."""
        uow.record(AuditEntry(kind, self.principal, subject, detail))

    def permit(self, reader: Reader, name: str) -> PermitFile:
        """The permit by our short key (``permit-…``), its lineage id, or one of its permit ids. NotFound otherwise."""
        for key in lineage_keys(reader):
            if name in (key.key, key.lineage):
                file = self.dossier.permit(reader, key)
                if file:
                    return file
            file = self.dossier.permit(reader, key)
            if file and name in {v.permit_id for v in file.lineage.versions}:
                return file
        raise NotFound(f"no permit {name!r}")

    def workspace(self, reader: Reader, name: str) -> WorkspaceFile:
        """The workspace by its id, or a unique beginning of it (4 characters or more).

        Also by its permit's name when it has only one. NotFound otherwise.
        """
        every = reader.facts(Workspace)
        found = [w for w in every if w.ref.workspace == name]
        shortest = 4
        if not found and len(name) >= shortest:
            found = [w for w in every if w.ref.workspace.startswith(name)]
        if not found:
            found = [w for w in every if name in (w.permit.key, w.permit.lineage)]
        if len(found) > 1:
            raise NotFound(f"{name!r} names {len(found)} workspaces: give more of the id")
        file = self.dossier.workspace(reader, found[0].ref.workspace) if found else None
        if file is None:
            raise NotFound(f"no workspace {name!r}")
        return file

    def poke(self, key: LineageKey) -> None:
        """Ask the controller to look at every workspace of a lineage."""
        with self.store.read() as reader:
            workspaces = self.dossier.workspaces(reader, key)
        for workspace in workspaces:
            self.store.poke(workspace.ref.workspace)


def lineage_keys(reader: Reader) -> tuple[LineageKey, ...]:
    """Every lineage of which a version was accepted, in order of arrival."""
    from tre.model.facts import PermitVersion

    return tuple(dict.fromkeys(v.permit for v in reader.facts(PermitVersion)))
