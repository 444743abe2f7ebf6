"""The facts that policy decides over, gathered from a permit's file, and what keeps it pending."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tre.contracts.store import Reader
from tre.dossier.files import Dossier, PermitFile
from tre.model.canonical import Json
from tre.model.decision import Decision, Finding
from tre.model.facts import TrustEntry
from tre.model.instants import Window
from tre.model.workspace import Capability
from tre.policy.bundle import Profile
from tre.policy.permit_rules import enforced


@dataclass(frozen=True, slots=True)
class BackendFacts:
    """What policy knows of a backend: the permit's word for its kind, and what it enforces now."""

    kind: str
    capabilities: frozenset[Capability]


def decide_on(
    dossier: Dossier, reader: Reader, file: PermitFile, profile: Profile, backend: BackendFacts, now: datetime
) -> Decision:
    """Ask policy whether this permit may have a workspace of this profile on this backend now."""
    entry = reader.fact(TrustEntry, file.head.kid)
    data = dossier.granted(reader, file.permit)
    permit = file.permit
    custody = permit.linkage.keys_by if permit.linkage else ""
    facts: dict[str, Any] = {
        "permit": {
            "purposes": list(permit.purposes),
            "sector": (permit.holder.sector or "") if permit.holder else "",
            "persons": [{"person_id": p.person_id, "identities": len(p.identities)} for p in permit.persons],
            "backends": [str(b) for b in permit.spe.backends] if permit.spe else [],
            "spe_named": permit.spe is not None,
            "log_years": permit.logging.access_years if permit.logging else 5,
        },
        "datasets": [
            {"dataset_id": d.dataset_id, "form": str(d.form), "access_mode": str(d.access_mode), "custody": custody}
            for d in permit.datasets
        ],
        "backend": {"kind": backend.kind, "capabilities": sorted(str(c) for c in backend.capabilities)},
        "profile": {
            "name": profile.name,
            "real_data": profile.real_data,
            "hold_days": profile.hold_days,
            "credential_ttl_s": profile.credential_ttl_s,
        },
        "trust": {"profiles": list(entry.profiles) if entry else ["-"]},
        "now_in_window": Window(permit.validity.not_before, file.ends_at()).contains(now),
    }
    unnamed = tuple(
        Finding("V-27", f"datasets[{g.dataset_id}]", "no dataset of the catalogue has this id")
        for g in data
        if g.dataset is None
    )
    return dossier.bundle.decide(facts, (*unnamed, *_unsigned(file), *_gates(file)))


def _unsigned(file: PermitFile) -> Iterator[Finding]:
    """V-17: an unenforceable condition waits for a named human's sign-off on this version."""
    signed = {(s.version, s.condition) for s in file.sign_offs}
    for condition in file.permit.conditions:
        waits = not condition.enforceable and (file.head.version, condition.code) not in signed
        if waits or (condition.enforceable and not enforced(condition)):
            yield Finding("V-17", f"conditions[{condition.code}]", "waits for a named human's sign-off")


def _gates(file: PermitFile) -> Iterator[Finding]:
    """V-18: whatever the permit's law makes a gate must be open. Lapsed ones end access through the end (V-21)."""
    pi = file.permit.principal_investigator
    person = next((p for p in file.permit.persons if p.person_id == pi), None)
    if person is None:
        yield Finding("V-18", "principal_investigator", "is not among the persons")


def summary(decision: Decision) -> dict[str, Json]:
    """A decision for the record."""
    return {
        "allowed": decision.allowed,
        "reasons": [str(r) for r in decision.reasons],
        "pending": [str(p) for p in decision.pending],
        "bundle": decision.bundle_digest,
    }
