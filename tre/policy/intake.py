"""A message comes in: schema, signature, rules; a permit comes out, or findings that refuse it.

The context is a value: whoever calls has read the store. Rule ids are those of `permit-model.md` 6.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tre.model.decision import Finding
from tre.model.facts import PermitVersion, TrustEntry, TrustPurpose, TrustRevoked
from tre.model.permit import Permit, StatusPayload
from tre.policy import jws
from tre.policy.permit_rules import RULES, Clip, RuleContext, clipped

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Installation:
    """What this environment is, for V-15."""

    provider: str
    service_id: str
    certificate_until: date | None = None


@dataclass(frozen=True, slots=True)
class IntakeContext:
    """Everything a verdict depends on besides the message."""

    now: datetime
    trust: tuple[TrustEntry, ...]
    revoked: tuple[TrustRevoked, ...]
    installation: Installation
    clock_uncertainty_s: float = 0.0
    previous: tuple[PermitVersion, ...] = ()
    previous_permit: Permit | None = None
    seen_message: str | None = None
    """Digest of the message that used this message id before, if one did."""
    final: str | None = None
    """``REVOKED`` or ``EXPIRED`` when the lineage is over (V-20)."""
    catalogue: Mapping[str, str] = field(default_factory=dict)
    """Dataset id to our name."""
    fetched_documents: Mapping[str, str] = field(default_factory=dict)
    """Document reference to SHA-256, where a decision document was fetched (V-32)."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The message may become a version. `permit` has clipped values; `warnings` say which."""

    permit: Permit
    kid: str
    warnings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class AcceptedStatus:
    """The status message may become a fact."""

    status: StatusPayload
    kid: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """Refused, each with rule, field and reason."""

    findings: tuple[Finding, ...]


def read_accepted(raw: bytes) -> Permit:
    """Parse the text of a permit that was accepted before: no signature check, clipping as then."""
    return clipped(Permit.model_validate(jws.peek(raw).payload)).permit


def check_permit(raw: bytes, context: IntakeContext) -> Accepted | Rejected:
    """Verdict on a ``tre-permit+jws``."""
    try:
        envelope = jws.peek(raw)
        signer = (
            _claimed(envelope.payload.get("issuer"), "id"),
            _claimed(envelope.payload.get("issuer"), "signing_key_id"),
        )
        entry = trusted_issuer(envelope.kid, signer, context)
        payload = jws.verify(raw, jws.PERMIT, entry)
    except jws.BadMessage as error:
        return Rejected((error.finding,))
    parsed = _parsed(Permit, payload)
    if isinstance(parsed, Rejected):
        return parsed
    clip: Clip = clipped(parsed)
    rules = RuleContext(clip.permit, entry, context)
    found = tuple(finding for rule in RULES for finding in rule(rules))
    refusals = tuple(f for f in found if f.severity == "refuse")
    if refusals:
        return Rejected(tuple(Finding(f.rule, f.field, f.reason) for f in refusals))
    warnings = (*clip.warnings, *(Finding(f.rule, f.field, f.reason) for f in found))
    return Accepted(clip.permit, entry.kid, warnings)


def check_status(raw: bytes, context: IntakeContext) -> AcceptedStatus | Rejected:
    """Verdict on a ``tre-permit-status+jws``. Valid before its permit arrives."""
    try:
        envelope = jws.peek(raw)
        signer = str(envelope.payload.get("issuer", "")), str(envelope.payload.get("signing_key_id", ""))
        entry = trusted_issuer(envelope.kid, signer, context)
        payload = jws.verify(raw, jws.STATUS, entry)
    except jws.BadMessage as error:
        return Rejected((error.finding,))
    parsed = _parsed(StatusPayload, payload)
    if isinstance(parsed, Rejected):
        return parsed
    if context.seen_message is not None:
        return Rejected((Finding("V-03", "message_id", "this message id was used before"),))
    if (parsed.at - context.now).total_seconds() > max(60.0, context.clock_uncertainty_s):
        return Rejected((Finding("V-06", "at", "lies in the future"),))
    return AcceptedStatus(parsed, entry.kid)


def _claimed(value: object, name: str) -> str:
    return str(value.get(name, "")) if isinstance(value, dict) else ""


def trusted_issuer(kid: str, signer: tuple[str, str], context: IntakeContext) -> TrustEntry:
    """V-02: the header's key is the payload's signing key, trusted for this issuer, valid and not revoked now."""
    issuer, signing_key = signer
    if kid != signing_key:
        raise jws.BadMessage("V-02", "issuer.signing_key_id", "the header names another key than the payload")
    entry = next((e for e in context.trust if e.kid == kid and e.purpose is TrustPurpose.ISSUER), None)
    if entry is None or entry.holder != issuer:
        raise jws.BadMessage("V-02", "issuer.id", "the key is not trusted for this issuer")
    if any(r.kid == kid for r in context.revoked):
        raise jws.BadMessage("V-02", "issuer.signing_key_id", "the key is revoked")
    if not entry.valid_from <= context.now < entry.valid_until:
        raise jws.BadMessage("V-02", "issuer.signing_key_id", "the key is not valid now")
    return entry


def _parsed(model: type[M], payload: dict[str, object]) -> M | Rejected:
    try:
        return model.model_validate(payload)
    except ValidationError as error:
        return Rejected(tuple(_finding(e["loc"], e["msg"]) for e in error.errors(include_input=False)[:20]))


def _finding(where: tuple[int | str, ...], message: str) -> Finding:
    reason = message.removeprefix("Value error, ")
    rule, _, rest = reason.partition(": ")
    if rule.startswith("V-"):
        return Finding(rule, ".".join(map(str, where)), rest)
    if where and where[-1] in ("access_mode", "anonymous_only"):
        return Finding("V-14", ".".join(map(str, where)), reason)
    return Finding("V-01", ".".join(ascii(part).strip("'")[:60] for part in where), reason)
