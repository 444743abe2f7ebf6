"""From a file to what is desired: the ceiling, and the desired workspace on a rung."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from tre.contracts.store import Reader
from tre.dossier.decision import BackendFacts, decide_on
from tre.dossier.files import Dossier, WorkspaceFile
from tre.model.condition import Reason
from tre.model.observed import HeldCredential, Known, ObservedWorkspace
from tre.model.workspace import (
    Access,
    DesiredMember,
    DesiredWorkspace,
    Environment,
    Isolation,
    Limits,
    Mount,
    WallSpec,
)
from tre.planning.lifecycle import Standing
from tre.planning.rungs import Ceiling, credential_end


@dataclass(frozen=True, slots=True)
class Desire:
    """What bounds the rung from above, apart from the world itself."""

    file: WorkspaceFile
    standing: Standing
    backend: BackendFacts
    doubt: str | None
    """Why the clock is not believed, or None."""
    recovery: str | None
    """Why the store only allows lock-outs, or None."""
    now: datetime


def ceiling_of(desire: Desire, dossier: Dossier, reader: Reader) -> Ceiling:
    """The highest rung allowed now. Every refusal is LOCKED; only a doubt about data leaves the wall standing."""
    standing, file = desire.standing, desire.file
    if not standing.active:
        return Ceiling(Access.LOCKED, standing.reason, standing.sentence)
    if desire.recovery:
        return Ceiling(Access.LOCKED, Reason.RECOVERY, desire.recovery)
    if desire.doubt:
        return Ceiling(Access.LOCKED, Reason.CLOCK_DOUBT, f"the clock is in doubt: {desire.doubt}")
    missing = sorted(file.profile.demanded - desire.backend.capabilities)
    if missing:
        sentence = f"profile {file.profile.name} demands {', '.join(missing)}, which the backend does not have now"
        return Ceiling(Access.LOCKED, Reason.CAPABILITY_MISSING, sentence)
    decision = decide_on(dossier, reader, file.permit, file.profile, desire.backend, desire.now)
    if not decision.allowed:
        sentence = "; ".join(str(r) for r in decision.reasons)
        return Ceiling(Access.LOCKED, Reason.POLICY_DENIED, sentence)
    if decision.pending:
        return Ceiling(Access.LOCKED, Reason.PERMIT_PENDING, "; ".join(str(r) for r in decision.pending))
    return Ceiling(Access.OPEN, standing.reason, standing.sentence)


Permitted: TypeAlias = tuple[tuple[str, datetime], ...]
"""Persons who may be inside, each with the own end."""


def desired_of(
    file: WorkspaceFile, observed: ObservedWorkspace, access: Access, now: datetime, permitted: Permitted
) -> DesiredWorkspace:
    """What must be on the rung `access`. Credential ends are kept while they last, so look before you ask."""
    held: dict[int, HeldCredential] = {}
    if isinstance(observed.credentials, Known):
        held = {h.slot: h for h in observed.credentials.value}
    members = tuple(
        _member(file, person, end, held, now) for person, end in permitted if file.slot_of(person) is not None
    )
    profile = file.profile
    isolation = Isolation(
        environment=Environment(file.workspace.environment, file.workspace.environment_digest),
        areas=profile.areas,
        services=(),
        session=profile.session_rules(file.permit.permit),
    )
    return DesiredWorkspace(
        ref=file.workspace.ref,
        access=access,
        wall=WallSpec(isolation, file.permit.ends_at()),
        limits=limits_of(file),
        mounts=mounts_of(file),
        members=tuple(sorted(members)),
        demanded=profile.demanded,
    )


def _member(
    file: WorkspaceFile, person: str, end: datetime, held: dict[int, HeldCredential], now: datetime
) -> DesiredMember:
    slot = file.slot_of(person)
    if slot is None:
        message = f"{person} has no slot"
        raise LookupError(message)
    epoch = file.epochs.live(slot) or 0
    mine = held.get(slot)
    kept = mine if mine and mine.epoch == epoch else None
    return DesiredMember(slot, end, epoch, credential_end(kept, end, now, file.profile.credential_ttl_s))


def mounts_of(file: WorkspaceFile) -> tuple[Mount, ...]:
    """The catalogued datasets of the permit, as they appear inside."""
    return tuple(
        sorted(Mount(g.dataset.name, g.dataset.path, g.dataset.manifest_digest) for g in file.data if g.dataset)
    )


def limits_of(file: WorkspaceFile) -> Limits:
    """The permit's limits, and the profile's where the permit sets none."""
    return file.profile.limits(file.permit.permit)
