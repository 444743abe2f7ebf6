"""A message comes in, by whatever channel: kept with bytes, digest and verdict, and turned into a fact or refused."""

from dataclasses import dataclass
from typing import TypeAlias

from tre.contracts.store import Reader, UnitOfWork
from tre.model.canonical import Json, sha256_hex
from tre.model.dataset import Dataset
from tre.model.decision import Finding
from tre.model.facts import MessageReceived, PermitVersion, SignOff, TrustEntry, TrustRevoked
from tre.model.order import LineageKey, PermitStatus, StatusMessage
from tre.model.record import RecordKind
from tre.operations.desk import Denied, Desk
from tre.planning.lifecycle import LineageFacts, revocation
from tre.policy import jws
from tre.policy.intake import (
    Accepted,
    AcceptedStatus,
    Installation,
    IntakeContext,
    Rejected,
    check_permit,
    check_status,
)


@dataclass(frozen=True, slots=True)
class Received:
    """The verdict on one message."""

    accepted: bool
    repeated: bool
    permit: LineageKey | None
    version: int | None
    findings: tuple[Finding, ...]
    """Why it was refused, or warnings when it was accepted."""
    digest: str


Verdict: TypeAlias = Accepted | AcceptedStatus | Rejected | None


class Intake:
    """Receives messages."""

    def __init__(self, desk: Desk, spe: Installation) -> None:
        self._desk = desk
        self._spe = spe

    def check(self, raw: bytes) -> Received:
        """The verdict that `receive` would give now; nothing is kept."""
        with self._desk.store.read() as reader:
            return self._judge(reader, raw)[0]

    def receive(self, raw: bytes, channel: str) -> Received:
        """Keep the message and act on it, in one transaction. The same bytes again change nothing."""
        with self._desk.store.begin() as uow:
            received, verdict = self._judge(uow, raw)
            if received.repeated:
                return received
            uow.put_blob(raw)
            self._keep(uow, received, verdict, channel)
        if received.permit is not None and received.accepted:
            self._desk.poke(received.permit)
        return received

    def _judge(self, reader: Reader, raw: bytes) -> tuple[Received, Verdict]:
        digest = sha256_hex(raw)
        try:
            envelope = jws.peek(raw)
        except jws.BadMessage as error:
            return _refusal(digest, (error.finding,)), None
        if envelope.typ == jws.STATUS:
            return self._judge_status(reader, raw, envelope.payload, digest)
        return self._judge_permit(reader, raw, envelope.payload, digest)

    def _judge_permit(
        self, reader: Reader, raw: bytes, claimed: dict[str, object], digest: str
    ) -> tuple[Received, Verdict]:
        issuer = claimed.get("issuer")
        issuer_id = str(issuer.get("id", "")) if isinstance(issuer, dict) else ""
        key = LineageKey(issuer_id, str(claimed.get("lineage_id", "")))
        same = [v for v in reader.facts(PermitVersion, key.key) if v.raw_digest == digest]
        if same:
            return Received(True, True, key, same[0].version, (), digest), None
        context = self._context(reader, key, str(claimed.get("message_id", "")))
        verdict = check_permit(raw, context)
        if isinstance(verdict, Rejected):
            return _refusal(digest, verdict.findings), verdict
        return Received(True, False, key, verdict.permit.version, verdict.warnings, digest), verdict

    def _judge_status(
        self, reader: Reader, raw: bytes, claimed: dict[str, object], digest: str
    ) -> tuple[Received, Verdict]:
        issuer = str(claimed.get("issuer", ""))
        key = LineageKey(issuer, str(claimed.get("lineage", "")))
        if any(s.raw_digest == digest for s in reader.facts(StatusMessage, key.key)):
            return Received(True, True, key, None, (), digest), None
        verdict = check_status(raw, self._context(reader, key, str(claimed.get("message_id", ""))))
        if isinstance(verdict, Rejected):
            return _refusal(digest, verdict.findings), verdict
        return Received(True, False, key, verdict.status.version, (), digest), verdict

    def _context(self, reader: Reader, key: LineageKey, message_id: str) -> IntakeContext:
        file = self._desk.dossier.permit(reader, key)
        now = self._desk.clock.now()
        seen = reader.fact(MessageReceived, f"{key.issuer}/{message_id}")
        lineage = LineageFacts((), reader.facts(StatusMessage, key.key), trust_revoked=reader.facts(TrustRevoked))
        final = "REVOKED" if revocation(lineage) else None
        if file and (file.lineage.expired or now >= file.ends_at()) and final is None:
            final = "EXPIRED"
        return IntakeContext(
            now=now,
            trust=reader.facts(TrustEntry),
            revoked=reader.facts(TrustRevoked),
            installation=self._spe,
            previous=reader.facts(PermitVersion, key.key),
            previous_permit=file.permit if file else None,
            seen_message=seen.raw_digest if seen else None,
            final=final,
            catalogue={d.dataset_id: d.name for d in reader.facts(Dataset)},
        )

    def _keep(self, uow: UnitOfWork, received: Received, verdict: Verdict, channel: str) -> None:
        now = self._desk.clock.now()
        findings: list[Json] = [str(f) for f in received.findings]
        if not received.accepted or verdict is None or isinstance(verdict, Rejected):
            detail: dict[str, Json] = {"digest": received.digest, "channel": channel, "findings": findings}
            self._desk.note(uow, RecordKind.MESSAGE_REFUSED, "inbox", **detail)
            return
        if isinstance(verdict, Accepted):
            self._keep_permit(uow, verdict, received, channel)
            issuer, message_id = verdict.permit.issuer.id, verdict.permit.message_id
        else:
            self._keep_status(uow, verdict, received)
            issuer, message_id = verdict.status.issuer, verdict.status.message_id
        uow.add(MessageReceived(issuer, message_id, received.digest, channel, (), now))

    def _keep_permit(self, uow: UnitOfWork, verdict: Accepted, received: Received, channel: str) -> None:
        permit, now = verdict.permit, self._desk.clock.now()
        key = LineageKey(permit.issuer.id, permit.lineage_id)
        uow.add(
            PermitVersion(
                permit=key,
                version=permit.version,
                permit_id=permit.permit_id,
                message_id=permit.message_id,
                raw_digest=received.digest,
                kid=verdict.kid,
                not_before=permit.validity.not_before,
                not_after=permit.validity.not_after,
                legal_status=permit.legal_status.value,
                issued_at=permit.decision.issued_at,
                received_at=now,
                channel=channel,
                warnings=tuple(str(w) for w in verdict.warnings),
            )
        )
        warnings: list[Json] = [str(w) for w in verdict.warnings]
        self._desk.note(
            uow,
            RecordKind.PERMIT_ACCEPTED,
            key.key,
            version=permit.version,
            digest=received.digest,
            key=verdict.kid,
            channel=channel,
            warnings=warnings,
        )

    def _keep_status(self, uow: UnitOfWork, verdict: AcceptedStatus, received: Received) -> None:
        status = verdict.status
        key = LineageKey(status.issuer, status.lineage)
        uow.add(
            StatusMessage(
                message_id=status.message_id,
                permit=key,
                version=status.version,
                sequence=status.sequence,
                status=PermitStatus(status.status),
                at=status.at,
                reason=status.reason,
                kid=verdict.kid,
                raw_digest=received.digest,
                received_at=self._desk.clock.now(),
            )
        )
        self._desk.note(
            uow,
            RecordKind.STATUS_ACCEPTED,
            key.key,
            status=status.status,
            sequence=status.sequence,
            digest=received.digest,
            key=verdict.kid,
        )

    def sign_off(self, permit: str, condition: str) -> SignOff:
        """The principal signs off a condition that no rule enforces, for the head version (V-17)."""
        with self._desk.store.begin() as uow:
            file = self._desk.permit(uow, permit)
            known = {c.code for c in file.permit.conditions if not c.enforceable}
            if condition not in known:
                raise Denied(f"the permit has no condition {condition!r} that waits for a sign-off")
            fact = SignOff(file.key, file.head.version, condition, self._desk.principal, self._desk.clock.now())
            uow.add(fact)
            self._desk.note(uow, RecordKind.SIGNED_OFF, file.key.key, version=file.head.version, condition=condition)
        self._desk.poke(file.key)
        return fact


def _refusal(digest: str, findings: tuple[Finding, ...]) -> Received:
    return Received(False, False, None, None, findings, digest)
