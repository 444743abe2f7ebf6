"""Acts that need two people: requested, approved by signed statements over the content's digest, carried out once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NoReturn

from pydantic import ValidationError

from tre.contracts.store import Reader, UnitOfWork
from tre.model.canonical import Json, canonical_bytes, sha256_hex
from tre.model.facts import (
    ApprovalCarriedOut,
    ApprovalRequest,
    ApprovalStatement,
    TrustEntry,
    TrustPurpose,
    TrustRevoked,
)
from tre.model.permit import ApprovalPayload
from tre.model.record import RecordKind
from tre.operations.desk import Denied, Desk, NeedsApproval, NotFound
from tre.policy import jws

NEEDED: Final = 2
LIFE: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Approval:
    """A request and where it stands."""

    request: ApprovalRequest
    statements: tuple[ApprovalStatement, ...]
    carried_out: bool
    expired: bool

    @property
    def content(self) -> Mapping[str, Json]:
        """What is asked."""
        content: Mapping[str, Json] = json.loads(self.request.content)
        return content

    @property
    def denied(self) -> bool:
        """Whether an approver said no."""
        return any(not s.approves for s in self.statements)

    @property
    def granted(self) -> bool:
        """Whether two different people, neither the requester, said yes."""
        people = {s.approver for s in self.statements if s.approves} - {self.request.requested_by}
        return len(people) >= NEEDED and not self.denied


class Approvals:
    """Writes requests and takes statements."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def request(self, act: str, content: Mapping[str, Json]) -> NoReturn:
        """Write a request; raises NeedsApproval always, so that nobody goes on without.

        Denied with fewer than two registered approvers.
        """
        with self._desk.store.begin() as uow:
            if len(self._approvers(uow)) < NEEDED:
                raise Denied(
                    f"{act} needs two approvers, and fewer are registered", "tre init --approver F --approver F"
                )
            now = self._desk.clock.now()
            request = self._desk.new_id()
            text = canonical_bytes({"act": act, "request": request, **content})
            fact = ApprovalRequest(request, act, text.decode(), sha256_hex(text), self._desk.principal, now, now + LIFE)
            uow.add(fact)
            self._desk.note(uow, RecordKind.APPROVAL_REQUESTED, request, act=act, content_digest=fact.content_digest)
        raise NeedsApproval(request, act)

    def _approvers(self, reader: Reader) -> dict[str, TrustEntry]:
        """Registered approvers by person; revoked keys do not count."""
        revoked = {r.kid for r in reader.facts(TrustRevoked)}
        now = self._desk.clock.now()
        return {
            e.holder: e
            for e in reader.facts(TrustEntry)
            if e.purpose is TrustPurpose.APPROVER and e.kid not in revoked and e.valid_from <= now < e.valid_until
        }

    def all(self) -> tuple[Approval, ...]:
        """Every request."""
        with self._desk.store.read() as reader:
            return tuple(self._approval(reader, r) for r in reader.facts(ApprovalRequest))

    def _approval(self, reader: Reader, request: ApprovalRequest) -> Approval:
        return Approval(
            request,
            reader.facts(ApprovalStatement, request.request),
            reader.fact(ApprovalCarriedOut, request.request) is not None,
            self._desk.clock.now() >= request.expires_at,
        )

    def state(self, uow: UnitOfWork, raw: bytes) -> Approval:
        """Take a signed statement.

        Denied for an unregistered key, the requester, the same person twice, another content, an expired or
        finished request.
        """
        try:
            envelope = jws.peek(raw)
            entry = uow.fact(TrustEntry, envelope.kid)
            if entry is None or entry.purpose is not TrustPurpose.APPROVER:
                raise Denied("the key is not a registered approver's")
            if uow.fact(TrustRevoked, entry.kid):
                raise Denied("the approver's key is revoked")
            payload = ApprovalPayload.model_validate(jws.verify(raw, jws.APPROVAL, entry))
        except jws.BadMessage as error:
            raise Denied(str(error.finding)) from error
        except ValidationError as error:
            raise Denied("the statement is not a statement of approval") from error
        request = uow.fact(ApprovalRequest, payload.request)
        if request is None:
            raise NotFound(f"no request {payload.request!r}")
        self._check(self._approval(uow, request), payload, entry)
        fact = ApprovalStatement(
            request.request, entry.holder, entry.kid, payload.approves, raw.decode(), self._desk.clock.now()
        )
        uow.add(fact)
        self._desk.note(
            uow, RecordKind.APPROVAL_STATED, request.request, approver=entry.holder, approves=payload.approves
        )
        return self._approval(uow, request)

    @staticmethod
    def _check(approval: Approval, payload: ApprovalPayload, entry: TrustEntry) -> None:
        request = approval.request
        if approval.carried_out or approval.denied:
            raise Denied(f"request {request.request} is settled")
        if approval.expired:
            raise Denied(f"request {request.request} has expired")
        if payload.content_digest != request.content_digest:
            raise Denied("the statement is about another content")
        if payload.approver != entry.holder:
            raise Denied("the statement names another person than its key's holder")
        if entry.holder == request.requested_by:
            raise Denied("the requester cannot approve")
        if any(s.approver == entry.holder for s in approval.statements):
            raise Denied("this person has stated already")

    def carried_out(self, uow: UnitOfWork, approval: Approval) -> None:
        """Note that the act was done."""
        uow.add(ApprovalCarriedOut(approval.request.request, self._desk.clock.now()))
        self._desk.note(uow, RecordKind.APPROVAL_CARRIED_OUT, approval.request.request, act=approval.request.act)
