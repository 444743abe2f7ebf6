"""The file on a permit, and the file on a workspace."""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tre.contracts.credentials import CredentialHandle
from tre.contracts.store import Reader
from tre.model.canonical import sha256_hex
from tre.model.dataset import Dataset, DatasetVerified
from tre.model.facts import (
    BundleActivated,
    CredentialClosed,
    CredentialDead,
    CredentialEpoch,
    Expired,
    Footprint,
    FootprintItem,
    LockProved,
    Member,
    PermitVersion,
    Purged,
    SignOff,
    TrustRevoked,
    Workspace,
)
from tre.model.order import LineageKey, Order, OrderKind, Scope, StatusMessage
from tre.model.permit import Permit
from tre.planning.lifecycle import LineageFacts, Standing, removed_persons, standing
from tre.planning.rungs import ProofRules
from tre.policy.bundle import Bundle, Profile
from tre.policy.ends import member_end, workspace_end
from tre.policy.intake import read_accepted

_PARSED_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class PermitFile:
    """Everything known of one lineage."""

    key: LineageKey
    lineage: LineageFacts
    permit: Permit
    """The head version, with clipped values as accepted."""
    sign_offs: tuple[SignOff, ...]

    @property
    def head(self) -> PermitVersion:
        """The head version's fact."""
        return self.lineage.head

    def ends_at(self, profile_end: datetime | None = None) -> datetime:
        """The effective end (V-21): the earliest of permit, agreement, certificate and ethics ends."""
        end = workspace_end(self.permit)
        return min(end, profile_end) if profile_end else end

    def standing(self, scope: Scope, now: datetime, ends_at: datetime | None = None) -> Standing:
        """Where the scope stands at `now`."""
        return standing(self.lineage, scope, ends_at or self.ends_at(), now)


@dataclass(frozen=True, slots=True)
class Epochs:
    """The credential epochs of one workspace."""

    opened: tuple[CredentialEpoch, ...]
    closed: tuple[CredentialClosed, ...]
    dead: tuple[CredentialDead, ...]

    def live(self, slot: int) -> int | None:
        """The slot's open epoch, if it has one."""
        closed = {(c.slot, c.epoch) for c in self.closed}
        return max((e.epoch for e in self.opened if e.slot == slot and (slot, e.epoch) not in closed), default=None)

    def all_live(self) -> tuple[CredentialEpoch, ...]:
        """Every epoch that is not closed."""
        closed = {(c.slot, c.epoch) for c in self.closed}
        return tuple(e for e in self.opened if (e.slot, e.epoch) not in closed)

    def dying(self) -> tuple[CredentialClosed, ...]:
        """Closed, and not yet proved dead."""
        dead = {(d.slot, d.epoch) for d in self.dead}
        return tuple(c for c in self.closed if (c.slot, c.epoch) not in dead)


@dataclass(frozen=True, slots=True)
class GrantedData:
    """A dataset of the permit: catalogued under a name of ours, or not (yet)."""

    dataset_id: str
    dataset: Dataset | None
    verified: DatasetVerified | None


@dataclass(frozen=True, slots=True)
class WorkspaceFile:
    """Everything known of one workspace."""

    workspace: Workspace
    permit: PermitFile
    profile: Profile
    members: tuple[Member, ...]
    epochs: Epochs
    footprint: Footprint
    data: tuple[GrantedData, ...]
    lock_proved: LockProved | None
    purged: Purged | None

    @property
    def proof_rules(self) -> ProofRules:
        """What must be proved before each rung, from the profile."""
        return ProofRules(self.profile.required_probes, self.profile.probe_age_s)

    @property
    def scope(self) -> Scope:
        """The scope of orders on the whole workspace."""
        return Scope(self.permit.key, self.workspace.ref.workspace)

    def standing(self, now: datetime) -> Standing:
        """Where the workspace stands, purge not considered."""
        return self.permit.standing(self.scope, now)

    def slot_of(self, person: str) -> int | None:
        """The person's slot here, if one was ever allocated."""
        return next((m.slot for m in self.members if m.person == person), None)

    def person_of(self, slot: int) -> str | None:
        """Whose slot it is."""
        return next((m.person for m in self.members if m.slot == slot), None)

    def permitted(self, now: datetime) -> tuple[tuple[str, datetime], ...]:
        """Persons who may be inside now, each with the own end (V-21), in the permit's order."""
        gone = removed_persons(self.permit.lineage.orders, self.workspace.ref.workspace)
        end = self.permit.ends_at()
        found: list[tuple[str, datetime]] = []
        for person in self.permit.permit.persons:
            person_end = min(member_end(self.permit.permit, person), end)
            begun = person.valid_from is None or person.valid_from <= now
            scope = Scope(self.permit.key, self.workspace.ref.workspace, person.person_id)
            if person.person_id in gone or not begun or now >= person_end or self._restarting(person.person_id):
                continue
            if self.permit.standing(scope, now, person_end).active:
                found.append((person.person_id, person_end))
        return tuple(found)

    def _restarting(self, person: str) -> bool:
        """Whether a restart was ordered after the person's open epoch began: out for one pass, back with a new one."""
        slot = self.slot_of(person)
        live = self.epochs.live(slot) if slot is not None else None
        begun = next((e.at for e in self.epochs.opened if (e.slot, e.epoch) == (slot, live)), None)
        scope = Scope(self.permit.key, self.workspace.ref.workspace, person)
        return begun is not None and any(
            o.kind is OrderKind.RESTART_MEMBER and o.scope.covers(scope) and o.at > begun
            for o in self.permit.lineage.orders
        )

    def handle(self, slot: int, epoch: int) -> CredentialHandle:
        """The credential handle of a slot and epoch here."""
        return CredentialHandle(self.workspace.ref, slot, epoch)


class Dossier:
    """Reads files. Parsed permits are remembered by digest; nothing else is."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._parsed: OrderedDict[str, Permit] = OrderedDict()

    def permit(self, reader: Reader, key: LineageKey) -> PermitFile | None:
        """The file on a lineage; None while no version of it was accepted."""
        versions = reader.facts(PermitVersion, key.key)
        if not versions:
            return None
        lineage = LineageFacts(
            versions=versions,
            statuses=reader.facts(StatusMessage, key.key),
            orders=reader.facts(Order, key.key),
            expired=next(iter(reader.facts(Expired, key.key)), None),
            trust_revoked=reader.facts(TrustRevoked),
        )
        return PermitFile(key, lineage, self._permit(reader, lineage.head), reader.facts(SignOff, key.key))

    def _permit(self, reader: Reader, head: PermitVersion) -> Permit:
        known = self._parsed.get(head.raw_digest)
        if known is not None:
            return known
        raw = reader.blob(head.raw_digest)
        if raw is None or sha256_hex(raw) != head.raw_digest:
            message = f"the text of {head.permit.key} version {head.version} is gone from the side table"
            raise LookupError(message)
        permit = read_accepted(raw)
        self._parsed[head.raw_digest] = permit
        if len(self._parsed) > _PARSED_MAX:
            self._parsed.popitem(last=False)
        return permit

    def workspace(self, reader: Reader, workspace: str) -> WorkspaceFile | None:
        """The file on a workspace by its id; None when there is none."""
        fact = reader.fact(Workspace, workspace)
        if fact is None:
            return None
        permit = self.permit(reader, fact.permit)
        if permit is None:
            return None
        return WorkspaceFile(
            workspace=fact,
            permit=permit,
            profile=self.bundle.profiles[fact.profile],
            members=reader.facts(Member, workspace),
            epochs=Epochs(
                reader.facts(CredentialEpoch, workspace),
                reader.facts(CredentialClosed, workspace),
                reader.facts(CredentialDead, workspace),
            ),
            footprint=Footprint(fact.ref, reader.facts(FootprintItem, workspace)),
            data=self.granted(reader, permit.permit),
            lock_proved=reader.fact(LockProved, workspace),
            purged=reader.fact(Purged, workspace),
        )

    def granted(self, reader: Reader, permit: Permit) -> tuple[GrantedData, ...]:
        """The permit's datasets as our catalogue knows them."""
        by_id = {d.dataset_id: d for d in reader.facts(Dataset)}

        def one(dataset_id: str) -> GrantedData:
            dataset = by_id.get(dataset_id)
            runs = reader.facts(DatasetVerified, dataset.name) if dataset else ()
            return GrantedData(dataset_id, dataset, runs[-1] if runs else None)

        return tuple(one(d.dataset_id) for d in permit.datasets)

    def pinned_digest(self, reader: Reader) -> str | None:
        """The digest of the policy bundle in force; None before the first activation."""
        activated = reader.facts(BundleActivated)
        return activated[-1].digest if activated else None

    def workspaces(self, reader: Reader, key: LineageKey | None = None) -> tuple[Workspace, ...]:
        """All workspaces, or those of one lineage."""
        return reader.facts(Workspace, key.key if key else None)
