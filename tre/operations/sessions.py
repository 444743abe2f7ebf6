"""A member comes in: authorised by the facts, admitted by the far side, recorded before and after."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tre.contracts.driver import Command, Ended, Session, SessionHost, SessionRequest, Stream, Terminal
from tre.contracts.errors import ContractError, Refused, Transient
from tre.dossier.files import WorkspaceFile
from tre.model.condition import ConditionType, Truth
from tre.model.facts import WorkspaceStatus
from tre.model.record import RecordKind
from tre.model.step import Pending
from tre.operations.desk import Denied, Desk


@dataclass(frozen=True, slots=True)
class Opened:
    """A session and whose it is."""

    session: Session
    workspace: str
    person: str
    ends_at: datetime


class Sessions:
    """Opens sessions and records their end."""

    def __init__(self, desk: Desk, hosts: Mapping[str, SessionHost]) -> None:
        self._desk = desk
        self._hosts = hosts

    def ready(self, name: str) -> tuple[WorkspaceFile, bool]:
        """The workspace, and whether a login may go ahead without another pass: Ready, by proofs that are fresh."""
        with self._desk.store.read() as reader:
            file = self._desk.workspace(reader, name)
            status = reader.status(file.workspace.ref.workspace)
        return file, self._fresh(file, status)

    def _fresh(self, file: WorkspaceFile, status: WorkspaceStatus | None) -> bool:
        if status is None:
            return False
        ready = next((c for c in status.conditions if c.type is ConditionType.READY), None)
        newest = max((r.at for r in status.probe_runs), default=None)
        age_s = (self._desk.clock.now() - newest).total_seconds() if newest else None
        fresh = age_s is not None and 0 <= age_s <= file.profile.probe_age_s
        return ready is not None and ready.truth is Truth.TRUE and fresh

    def open(self, name: str, person: str | None, mode: Terminal | Command | Stream) -> Opened:
        """Begin a session for a member (the only one, when `person` is None).

        Denied when the permit, the profile or the workspace's state does not allow it; every refusal is recorded.
        """
        file, fresh = self.ready(name)
        workspace = file.workspace.ref.workspace
        try:
            who, request = self._request(file, person, mode, fresh=fresh)
            with self._desk.store.begin() as uow:
                kind = type(mode).__name__.lower()
                self._desk.note(
                    uow, RecordKind.SESSION_OPENED, workspace, session=request.session, person=who, mode=kind
                )
            host = self._hosts[file.workspace.ref.backend]
            session = host.attach(file.workspace.ref, request)
            if isinstance(session, Pending):
                raise Transient(f"the session is not there yet: {session.reason}", session.retry_after_s)
        except (Denied, ContractError) as error:
            with self._desk.store.begin() as uow:
                self._desk.note(uow, RecordKind.SESSION_REFUSED, workspace, person=person, reason=str(error))
            if isinstance(error, Refused):
                raise Denied(f"the workspace refused the session: {error.reason}") from error
            raise
        return Opened(session, workspace, who, request.ends_at)

    def _request(
        self, file: WorkspaceFile, person: str | None, mode: Terminal | Command | Stream, *, fresh: bool
    ) -> tuple[str, SessionRequest]:
        now = self._desk.clock.now()
        standing = file.standing(now)
        if not standing.active:
            raise Denied(f"no access: {standing.sentence}")
        permitted = dict(file.permitted(now))
        if person is None and len(permitted) == 1:
            person = next(iter(permitted))
        if person is None:
            raise Denied("the workspace has several members", f"--member one of: {', '.join(sorted(permitted))}")
        if person not in permitted:
            raise Denied(f"{person} is not a member now")
        if not fresh:
            raise Denied("the workspace is not ready", f"tre status {file.workspace.ref.workspace} says why")
        rules = file.profile.session_rules(file.permit.permit)
        if isinstance(mode, Command) and not rules.command_allowed:
            raise Denied(f"profile {file.profile.name} allows no commands without a terminal")
        if isinstance(mode, Stream) and not rules.stream_allowed:
            raise Denied(f"profile {file.profile.name} allows no streams")
        slot = file.slot_of(person)
        if slot is None:
            raise Denied(f"{person} has no account here yet")
        return person, SessionRequest(
            session=self._desk.new_id(),
            slot=slot,
            ends_at=min(permitted[person], now + timedelta(seconds=rules.longest_s)),
            idle_s=rules.idle_s,
            mode=mode,
            bytes_out_max=rules.bytes_out_max,
            bytes_in_max=rules.bytes_in_max,
        )

    def ended(self, opened: Opened, end: Ended) -> None:
        """Record the end of a session: why, how much went in and out; what was typed is not kept."""
        with self._desk.store.begin() as uow:
            self._desk.note(
                uow,
                RecordKind.SESSION_ENDED,
                opened.workspace,
                session=opened.session.session,
                person=opened.person,
                reason=end.reason.value,
                exit_status=end.exit_status,
                bytes_in=end.bytes_in,
                bytes_out=end.bytes_out,
            )
