"""Views: what a use case shows, as JSON values. Pure functions from facts; no secret is in any of them."""

from datetime import datetime
from typing import TypeAlias

from tre.contracts.driver import DriverInfo, Health
from tre.dossier.files import PermitFile, WorkspaceFile
from tre.model.canonical import Json
from tre.model.condition import ConditionType, Truth
from tre.model.facts import TrustEntry, TrustRevoked, WorkspaceStatus
from tre.model.instants import format_instant
from tre.model.order import Order, Scope
from tre.model.probe import ProbeResult
from tre.model.record import AuditRecord
from tre.model.workspace import Access
from tre.operations.approvals import Approval
from tre.operations.datasets import DatasetState
from tre.operations.intake import Received
from tre.planning.lifecycle import Standing

View: TypeAlias = dict[str, Json]


def _at(instant: datetime | None) -> Json:
    return format_instant(instant) if instant else None


def received(r: Received) -> View:
    """The verdict on a message."""
    return {
        "accepted": r.accepted,
        "repeated": r.repeated,
        "permit": r.permit.key if r.permit else None,
        "lineage": r.permit.lineage if r.permit else None,
        "version": r.version,
        "findings": [{"rule": f.rule, "field": f.field, "reason": f.reason} for f in r.findings],
        "digest": r.digest,
    }


def permit(file: PermitFile, standing: Standing, workspaces: list[str]) -> View:
    """A permit: identity, window, state, what it grants, its workspaces."""
    head = file.head
    return {
        "permit": file.key.key,
        "issuer": file.key.issuer,
        "lineage": file.key.lineage,
        "permit_id": head.permit_id,
        "version": head.version,
        "legal_status": head.legal_status,
        "state": standing.state.value,
        "reason": standing.reason.value,
        "sentence": standing.sentence,
        "not_before": _at(head.not_before),
        "not_after": _at(head.not_after),
        "ends_at": _at(file.ends_at()),
        "datasets": [d.dataset_id for d in file.permit.datasets],
        "persons": [p.person_id for p in file.permit.persons],
        "suspensions": list(standing.suspensions),
        "holds": list(standing.holds),
        "warnings": list(head.warnings),
        "workspaces": list(workspaces),
    }


def workspace(
    file: WorkspaceFile, standing: Standing, status: WorkspaceStatus | None, info: DriverInfo | None, now: datetime
) -> View:
    """A workspace: state, rung, conditions, members, mounts, probes; whether its lock is confirmed."""
    ref = file.workspace.ref
    ends = dict(file.permitted(now))
    conditions: list[Json] = []
    if status:
        conditions = [
            {
                "type": c.type.value,
                "status": c.truth.value,
                "reason": c.reason.value,
                "sentence": c.sentence,
                "since": _at(c.since),
            }
            for c in status.conditions
        ]
    sentences = [*(info.sentences if info else ()), *_late(file, standing, status)]
    return {
        "workspace": ref.workspace,
        "backend": ref.backend,
        "generation": ref.generation,
        "permit": file.permit.key.key,
        "lineage": file.permit.key.lineage,
        "profile": file.profile.name,
        "state": standing.state.value,
        "reason": standing.reason.value,
        "sentence": standing.sentence,
        "phase": phase(standing, status),
        "access": status.access.name if status else None,
        "ends_at": _at(file.permit.ends_at()),
        "seconds_left": max(0, int((file.permit.ends_at() - now).total_seconds())),
        "sessions": status.sessions if status else 0,
        "conditions": conditions,
        "members": [
            {"person": m.person, "slot": m.slot, "ends_at": _at(ends.get(m.person)), "epoch": file.epochs.live(m.slot)}
            for m in file.members
        ],
        "permitted": list(ends),
        "mounts": [{"dataset_id": g.dataset_id, "name": g.dataset.name if g.dataset else None} for g in file.data],
        "probes": [
            {"rung": r.rung.name, "at": _at(r.at), "attempts": len(r.results)}
            for r in (status.probe_runs if status else ())
        ],
        "sentences": list(sentences),
        "problem": status.problem if status else None,
        "observed_at": _at(status.observed_at) if status else None,
        "certificate": file.purged.certificate_digest if file.purged else None,
    }


def _late(file: WorkspaceFile, standing: Standing, status: WorkspaceStatus | None) -> list[str]:
    """From the clock alone: an end that has come and no proof of the lock yet."""
    if standing.active or file.lock_proved or file.purged:
        return []
    locked = status and next((c for c in status.conditions if c.type is ConditionType.LOCKED), None)
    if locked and locked.truth is Truth.TRUE:
        return []
    if status is None and not file.footprint.items:
        return []
    return ["ended, lock not confirmed" if standing.over else "stopped, lock not confirmed"]


def phase(standing: Standing, status: WorkspaceStatus | None) -> str:
    """One word, derived: for tables."""
    if not standing.active:
        return standing.state.value.lower().replace("_", " ")
    if status is None:
        return "ordered"
    ready = next((c for c in status.conditions if c.type is ConditionType.READY), None)
    if ready and ready.truth is Truth.TRUE:
        return "ready"
    return {Access.LOCKED: "locked", Access.WALLED: "walled", Access.MOUNTED: "mounted"}.get(status.access, "opening")


def dataset(state: DatasetState) -> View:
    """A dataset and its last verification."""
    d, v = state.dataset, state.verified
    return {
        "name": d.name,
        "dataset_id": d.dataset_id,
        "path": d.path,
        "manifest_sha256": d.manifest_digest,
        "files": d.files,
        "size_bytes": d.size_bytes,
        "owner": d.owner,
        "form": d.form,
        "category": d.category,
        "visa_value": d.visa_value,
        "added_at": _at(d.added_at),
        "verified_at": _at(v.at) if v else None,
        "matches": v.matches if v else None,
        "problem": v.problem if v else None,
    }


def trust(entry: TrustEntry, revoked: TrustRevoked | None) -> View:
    """A trusted key."""
    return {
        "kid": entry.kid,
        "purpose": entry.purpose.value,
        "algorithm": entry.algorithm,
        "holder": entry.holder,
        "profiles": list(entry.profiles),
        "datasets": list(entry.datasets),
        "longest_days": entry.longest_days,
        "valid_until": _at(entry.valid_until),
        "revoked_at": _at(revoked.at) if revoked else None,
    }


def scope(s: Scope) -> View:
    """What an order is about."""
    return {"permit": s.permit.key, "workspace": s.workspace, "person": s.person}


def order(o: Order) -> View:
    """An order."""
    return {
        "order": o.order,
        "kind": o.kind.value,
        "scope": scope(o.scope),
        "author": o.author,
        "reason": o.reason,
        "at": _at(o.at),
        "until": _at(o.until),
        "review_at": _at(o.review_at),
        "answers": list(o.answers),
        "approved_by": list(o.approved_by),
    }


def approval(a: Approval) -> View:
    """A request for two people."""
    return {
        "request": a.request.request,
        "act": a.request.act,
        "content": dict(a.content),
        "content_sha256": a.request.content_digest,
        "requested_by": a.request.requested_by,
        "at": _at(a.request.at),
        "expires_at": _at(a.request.expires_at),
        "statements": [{"approver": s.approver, "approves": s.approves, "at": _at(s.at)} for s in a.statements],
        "state": _approval_state(a),
    }


def _approval_state(a: Approval) -> str:
    if a.carried_out:
        return "carried out"
    if a.denied:
        return "denied"
    return "expired" if a.expired else "open"


def probe(r: ProbeResult) -> View:
    """One attempt."""
    return {"name": r.name, "class": r.probe_class.value, "verdict": r.verdict.value, "detail": r.detail}


def backend(name: str, info: DriverInfo, profile: str, health: Health | None) -> View:
    """A backend and, where it was looked at, what it can do now."""
    return {
        "backend": name,
        "driver": info.driver,
        "kind": info.kind,
        "profile": profile,
        "describes": sorted(c.value for c in info.capabilities),
        "capabilities": sorted(c.value for c in health.capabilities) if health else None,
        "problems": [{"text": p.text, "hint": p.hint} for p in health.problems] if health else [],
        "sentences": list(info.sentences),
    }


def record(r: AuditRecord) -> View:
    """One record."""
    return {
        "sequence": r.sequence,
        "at": r.at.isoformat(),
        "kind": r.kind.value,
        "actor": r.actor,
        "subject": r.subject,
        "detail": dict(r.detail),
        "hash": r.hash,
    }
