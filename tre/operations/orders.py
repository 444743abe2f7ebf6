"""Orders: suspend, resume, hold, release, close, remove and restart a member, provision."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tre.contracts.store import Reader, UnitOfWork
from tre.dossier.files import WorkspaceFile
from tre.model.canonical import Json, digest_of
from tre.model.facts import BundleActivated, Workspace
from tre.model.instants import format_instant
from tre.model.order import LineageKey, Order, OrderKind, Scope
from tre.model.record import RecordKind
from tre.model.workspace import WorkspaceRef
from tre.operations.approvals import Approval, Approvals
from tre.operations.desk import Denied, Desk, NotFound
from tre.operations.trust import NewTrust, Trust
from tre.planning.lifecycle import open_holds, open_suspensions

ACTS = ("resume", "close", "release hold", "add trust", "activate policy")
"""What needs two approvers."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a workspace goes: backend, profile, environment."""

    backend: str
    profile: str
    environment: str
    environment_digest: str


class Orders:
    """Gives orders. Everything that takes access away acts at once; what gives it back needs two people."""

    def __init__(self, desk: Desk, approvals: Approvals, trust: Trust) -> None:
        self._desk = desk
        self._approvals = approvals
        self._trust = trust

    # -- provision ---------------------------------------------------------------------------------------------------

    def provision(self, key: LineageKey, place: Place) -> tuple[WorkspaceFile, bool]:
        """Order a workspace for a permit on a backend; whether it is new.

        An open one gives the same answer and no effect; a closed one gets the next generation if the permit allows.
        """
        with self._desk.store.begin() as uow:
            file = self._desk.dossier.permit(uow, key)
            if file is None:
                raise NotFound(f"no permit {key.lineage!r}")
            existing = [w for w in self._desk.dossier.workspaces(uow, key) if w.ref.backend == place.backend]
            for workspace in existing:
                found = self._desk.dossier.workspace(uow, workspace.ref.workspace)
                if found and not found.standing(self._desk.clock.now()).over:
                    return found, False
            standing = file.standing(Scope(key), self._desk.clock.now())
            if standing.over:
                raise Denied(f"the permit is over: {standing.sentence}")
            return self._new_workspace(uow, key, place, len(existing)), True

    def _new_workspace(self, uow: UnitOfWork, key: LineageKey, place: Place, before: int) -> WorkspaceFile:
        generation = max(uow.allocate(f"generation-{key.key}-{place.backend}"), before + 1)
        ref = WorkspaceRef(self._desk.installation, self._desk.new_id(), place.backend, generation)
        uow.add(
            Workspace(
                ref=ref,
                permit=key,
                profile=place.profile,
                environment=place.environment,
                environment_digest=place.environment_digest,
                ordered_by=self._desk.principal,
                at=self._desk.clock.now(),
                canary_slot=uow.allocate("slot"),
            )
        )
        self._desk.note(
            uow,
            RecordKind.WORKSPACE_ORDERED,
            ref.workspace,
            permit=key.key,
            backend=place.backend,
            generation=generation,
            profile=place.profile,
        )
        file = self._desk.dossier.workspace(uow, ref.workspace)
        if file is None:
            raise NotFound(f"no workspace {ref.workspace}")
        return file

    # -- one person may ----------------------------------------------------------------------------------------------

    def scope(self, reader: Reader, name: str, person: str | None = None) -> Scope:
        """The scope that a permit's or workspace's name means. NotFound when it means neither."""
        try:
            file = self._desk.workspace(reader, name)
            scope = Scope(file.permit.key, file.workspace.ref.workspace, person)
        except NotFound:
            scope = Scope(self._desk.permit(reader, name).key, None, person)
        if person is not None:
            permit = self._desk.dossier.permit(reader, scope.permit)
            if permit is None or person not in {p.person_id for p in permit.permit.persons}:
                raise NotFound(f"no member {person!r}")
        return scope

    def suspend(self, name: str, reason: str, person: str | None = None) -> Order:
        """Stop access at once."""
        return self._give(OrderKind.SUSPEND, name, reason, person)

    def remove_member(self, name: str, person: str, reason: str) -> Order:
        """End a person's access for good; the others are untouched."""
        return self._give(OrderKind.REMOVE_MEMBER, name, reason, person)

    def restart_member(self, name: str, person: str, reason: str) -> Order:
        """End a person's sessions and credentials; new ones follow."""
        return self._give(OrderKind.RESTART_MEMBER, name, reason, person)

    def hold(self, name: str, reason: str, review_at: datetime, until: datetime | None = None) -> Order:
        """Stop the purge of what is named. A hold gives no access."""
        return self._give(OrderKind.HOLD, name, reason, None, review_at=review_at, until=until)

    def _give(
        self,
        kind: OrderKind,
        name: str,
        reason: str,
        person: str | None,
        *,
        review_at: datetime | None = None,
        until: datetime | None = None,
    ) -> Order:
        with self._desk.store.begin() as uow:
            order = Order(
                order=self._desk.new_id(),
                kind=kind,
                scope=self.scope(uow, name, person),
                author=self._desk.principal,
                reason=reason,
                at=self._desk.clock.now(),
                until=until,
                review_at=review_at,
            )
            self._keep(uow, order)
        self._desk.poke(order.scope.permit)
        return order

    def _keep(self, uow: UnitOfWork, order: Order) -> None:
        uow.add(order)
        subject = order.scope.workspace or order.scope.permit.key
        detail: dict[str, Json] = {
            "order": order.order,
            "kind": order.kind.value,
            "reason": order.reason,
            "person": order.scope.person,
            "answers": list(order.answers),
            "approved_by": list(order.approved_by),
        }
        self._desk.note(uow, RecordKind.ORDER_GIVEN, subject, **detail)

    # -- two people must ---------------------------------------------------------------------------------------------

    def resume(self, name: str, reason: str, person: str | None = None) -> None:
        """Ask to lift every suspension of the scope by order; the issuer's own is not ours to lift."""
        with self._desk.store.read() as reader:
            scope = self.scope(reader, name, person)
            permit = self._desk.dossier.permit(reader, scope.permit)
            open_ones = open_suspensions(permit.lineage, scope) if permit else ()
        ours = [o for o in open_ones if ":" not in o]
        if not ours:
            raise Denied("nothing that we may lift suspends it")
        answers: list[Json] = list(ours)
        self._approvals.request("resume", {"scope": _scope_json(scope), "answers": answers, "reason": reason})

    def close(self, name: str, reason: str) -> None:
        """Ask to close a workspace, or a permit with all of its workspaces, for good."""
        with self._desk.store.read() as reader:
            scope = self.scope(reader, name)
        self._approvals.request("close", {"scope": _scope_json(scope), "reason": reason})

    def release(self, hold: str, reason: str) -> None:
        """Ask to release a hold."""
        with self._desk.store.read() as reader:
            order = reader.fact(Order, hold)
            if order is None or order.kind is not OrderKind.HOLD:
                raise NotFound(f"no hold {hold!r}")
        answers: list[Json] = [hold]
        self._approvals.request(
            "release hold", {"scope": _scope_json(order.scope), "answers": answers, "reason": reason}
        )

    def add_trust(self, new: NewTrust) -> None:
        """Ask to trust another key."""
        entry = self._trust.entry(new)
        content: dict[str, Json] = {
            "kid": entry.kid,
            "purpose": entry.purpose.value,
            "holder": entry.holder,
            "public_key": entry.public_key,
            "profiles": list(entry.profiles),
            "datasets": list(entry.datasets),
            "longest_days": entry.longest_days,
            "valid_until": format_instant(entry.valid_until),
        }
        self._approvals.request("add trust", content)

    def activate_policy(self, digest: str) -> None:
        """Ask to put a policy bundle in force."""
        self._approvals.request("activate policy", {"digest": digest})

    def state(self, raw: bytes) -> Approval:
        """Take an approver's statement; carry the act out when it was the second yes."""
        with self._desk.store.begin() as uow:
            approval = self._approvals.state(uow, raw)
            key = None
            if approval.granted:
                key = self._carry_out(uow, approval)
                self._approvals.carried_out(uow, approval)
        if key:
            self._desk.poke(key)
        return approval

    def _carry_out(self, uow: UnitOfWork, approval: Approval) -> LineageKey | None:
        content, act = approval.content, approval.request.act
        if act == "add trust":
            self._trust.add(uow, _trust_from(content))
            return None
        if act == "activate policy":
            now = self._desk.clock.now()
            uow.add(BundleActivated(str(content["digest"]), approval.request.requested_by, now))
            self._desk.note(uow, RecordKind.POLICY_ACTIVATED, str(content["digest"]))
            return None
        kind = {"resume": OrderKind.RESUME, "close": OrderKind.CLOSE, "release hold": OrderKind.RELEASE}[act]
        scope = _scope_from(content["scope"])
        answers = content.get("answers", [])
        order = Order(
            order=digest_of({"carried out": approval.request.request})[:16],
            kind=kind,
            scope=scope,
            author=approval.request.requested_by,
            reason=str(content["reason"]),
            at=self._desk.clock.now(),
            answers=tuple(str(a) for a in answers) if isinstance(answers, list) else (),
            approved_by=tuple(sorted(s.approver for s in approval.statements if s.approves)),
        )
        self._keep(uow, order)
        return scope.permit

    def holds(self) -> tuple[tuple[Order, bool], ...]:
        """Every hold, and whether it is open."""
        with self._desk.store.read() as reader:
            orders = reader.facts(Order)
        now = self._desk.clock.now()
        open_ones = {o.order for o in orders for h in open_holds(orders, o.scope, now) for o in (h,)}
        return tuple((o, o.order in open_ones) for o in orders if o.kind is OrderKind.HOLD)


def _scope_json(scope: Scope) -> dict[str, Json]:
    return {
        "issuer": scope.permit.issuer,
        "lineage": scope.permit.lineage,
        "workspace": scope.workspace,
        "person": scope.person,
    }


def _scope_from(value: Json) -> Scope:
    if not isinstance(value, Mapping):
        raise Denied("the request has no scope")
    workspace, person = value.get("workspace"), value.get("person")
    return Scope(
        LineageKey(str(value["issuer"]), str(value["lineage"])),
        str(workspace) if workspace is not None else None,
        str(person) if person is not None else None,
    )


def _trust_from(content: Mapping[str, Json]) -> NewTrust:
    from tre.model.facts import TrustPurpose
    from tre.model.instants import parse_instant

    profiles, datasets, longest = content["profiles"], content["datasets"], content["longest_days"]
    return NewTrust(
        purpose=TrustPurpose(str(content["purpose"])),
        public_pem=str(content["public_key"]).encode(),
        holder=str(content["holder"]),
        profiles=tuple(str(p) for p in profiles) if isinstance(profiles, list) else (),
        datasets=tuple(str(d) for d in datasets) if isinstance(datasets, list) else (),
        longest_days=longest if isinstance(longest, int) else None,
        valid_until=parse_instant(str(content["valid_until"])),
    )
