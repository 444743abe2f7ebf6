"""The in-process twin: runs the use cases here, and the controller's passes when a command needs them."""

import json
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from tre.audit.chain import read_checkpoint
from tre.audit.export import Verdict, export, verify
from tre.catalogue.catalogue import Description
from tre.catalogue.manifest import Progress
from tre.client import views
from tre.client.parts import Parts
from tre.client.views import View
from tre.contracts.driver import CheckDepth, Command, Ended, Health, Stream, Terminal
from tre.contracts.errors import ContractError, Refused
from tre.dossier.files import WorkspaceFile
from tre.model.canonical import Json, canonical_bytes, digest_of, sha256_hex
from tre.model.condition import Reason
from tre.model.facts import BundleActivated, Purged, TrustPurpose
from tre.model.instants import format_instant
from tre.model.order import Scope
from tre.model.record import AuditEntry, RecordKind
from tre.operations.desk import Denied, NotFound, lineage_keys
from tre.operations.orders import Place
from tre.operations.sessions import Opened
from tre.operations.trust import NewTrust
from tre.planning.lifecycle import with_purge
from tre.policy import jws
from tre.policy.bundle import default_directory

SETTLE_S = 30.0
_POLL_S = 0.1
Tell = Callable[[str], None]


class InProcess:
    """One method a use case. Raises Denied, NotFound, and what contracts raise."""

    def __init__(self, parts: Parts) -> None:
        self._p = parts

    # -- setup -------------------------------------------------------------------------------------------------------

    def init(self, trusted: Sequence[NewTrust], tell: Tell) -> View:
        """Make the installation, or finish one that was interrupted. The first trust set is taken once."""
        p = self._p
        store = p.open_store()
        with store.begin() as uow:
            if uow.setting("installation") is None:
                uow.put_setting("installation", p.new_id())
                uow.record(AuditEntry(RecordKind.GENESIS, "init", str(uow.setting("installation")), {}))
        store.close()
        with p.store.begin() as uow:
            fresh = not uow.facts(BundleActivated)
            if fresh:
                uow.add(BundleActivated(p.bundle.digest, p.desk.principal, p.clock.now()))
                p.desk.note(uow, RecordKind.POLICY_ACTIVATED, p.bundle.digest)
                for new in trusted:
                    p.trust.add(uow, new)
        if not fresh and trusted:
            raise Denied("the installation has its first trust set already", "tre trust add")
        p.vault_setup.run(p.clock.now(), tell)
        tell("sign the first checkpoint")
        self._checkpoint()
        return {
            "home": str(p.settings.home),
            "installation": p.desk.installation,
            "vault": p.vault.address,
            "policy_bundle": p.bundle.digest,
            "trusted": [views.trust(e, r) for e, r in p.trust.entries()],
        }

    def _checkpoint(self) -> None:
        self._p.controller.settle((), 1.0)

    def doctor(self) -> list[View]:
        """Every check: ok, weak or missing, and what mends it."""
        p = self._p
        found: list[View] = []

        def check(name: str, state: str, text: str, hint: str = "") -> None:
            found.append({"check": name, "state": state, "text": text, "hint": hint})

        for name, driver in p.drivers.items():
            health = driver.check(CheckDepth.CANARY)
            problems = health.problems if isinstance(health, Health) else ()
            for problem in problems:
                check(f"backend {name}", "missing", problem.text, problem.hint)
            if not problems:
                check(f"backend {name}", "ok", ", ".join(sorted(c.value for c in driver.describe().capabilities)))
            for sentence in driver.describe().sentences:
                check(f"backend {name}", "weak", sentence, "run tre as root")
        if not p.settings.database.exists():
            check("installation", "missing", f"none in {p.settings.home}", "tre init")
            return found
        state = p.vault.state()
        if not state.running:
            check("vault", "missing", "not running", "tre vault start")
        else:
            check("vault", "missing" if state.sealed else "ok", "sealed" if state.sealed else state.version)
        if p.vault_setup.interrupted:
            check("vault", "missing", "a root token is still there: the installation was interrupted", "tre init")
        if p.vault_setup.keys_file.exists():
            check("unseal keys", "weak", "they lie in the state folder", "hand them to several people")
        recovery = p.store.in_recovery()
        check("store", "missing" if recovery else "ok", recovery or "whole", "tre store reconcile" if recovery else "")
        pinned = self._pinned()
        same = pinned == p.bundle.digest
        check("policy", "ok" if same else "missing", p.bundle.digest[:16], "" if same else "tre policy activate")
        return found

    def _pinned(self) -> str | None:
        with self._p.store.read() as reader:
            return self._p.desk.dossier.pinned_digest(reader)

    # -- trust and policy --------------------------------------------------------------------------------------------

    def trust_list(self) -> list[View]:
        """Every trusted key."""
        return [views.trust(e, r) for e, r in self._p.trust.entries()]

    def trust_add(self, new: NewTrust) -> None:
        """Ask two approvers to trust another key. Always raises: NeedsApproval or Denied."""
        self._p.orders.add_trust(new)

    def trust_revoke(self, kid: str, compromised_since: datetime | None) -> View:
        """Trust a key no longer, and act on it at once."""
        fact = self._p.trust.revoke(kid, compromised_since)
        self._settle(None)
        return {"kid": fact.kid, "revoked_at": format_instant(fact.at)}

    def policy_show(self) -> View:
        """The bundle on disk, the one in force, its profiles and rules."""
        bundle = self._p.bundle
        return {
            "bundle": bundle.digest,
            "in_force": self._pinned() if self._p.settings.database.exists() else None,
            "directory": str(self._p.settings.policies or default_directory()),
            "profiles": [
                {
                    "name": p.name,
                    "real_data": p.real_data,
                    "hold_days": p.hold_days,
                    "demands": sorted(c.value for c in p.demanded),
                }
                for p in bundle.profiles.values()
            ],
            "rules": [{"id": c.rule.id, "reason": c.rule.reason} for c in bundle.rules],
        }

    def policy_activate(self) -> None:
        """Ask two approvers to put the bundle on disk in force. Always raises."""
        self._p.bundle.compile()
        self._p.orders.activate_policy(self._p.bundle.digest)

    # -- datasets ----------------------------------------------------------------------------------------------------

    def dataset_add(self, description: Description, folder: Path, progress: Progress | None) -> View:
        """Hash a folder and keep it as a dataset."""
        added = self._p.catalogue.add(description, folder, progress)
        return views.dataset(self._p.datasets.keep(added.dataset, added.manifest, added.verified))

    def dataset_list(self) -> list[View]:
        """Every dataset."""
        return [views.dataset(s) for s in self._p.datasets.all()]

    def dataset_show(self, name: str) -> View:
        """One dataset, with its manifest's text."""
        state, manifest = self._p.datasets.one(name)
        return {**views.dataset(state), "manifest": manifest.decode()}

    def dataset_verify(self, name: str, progress: Progress | None) -> View:
        """Hash a dataset again; a difference keeps everyone out."""
        state, manifest = self._p.datasets.one(name)
        verified = self._p.catalogue.verify(state.dataset, manifest, progress)
        self._p.datasets.note_verified(verified)
        if not verified.matches:
            self._settle(None)
        return views.dataset(self._p.datasets.one(name)[0])

    # -- permits -----------------------------------------------------------------------------------------------------

    def permit_check(self, raw: bytes) -> View:
        """The verdict on a message; nothing is kept."""
        return views.received(self._p.intake.check(raw))

    def permit_receive(self, raw: bytes, channel: str = "file") -> View:
        """Receive a permit or a status message, and act on it."""
        received = self._p.intake.receive(raw, channel)
        if received.accepted and not received.repeated:
            self._settle_permit(received.permit.key if received.permit else None)
        return views.received(received)

    def _settle_permit(self, key: str | None) -> None:
        with self._p.store.read() as reader:
            ids = [w.ref.workspace for w in self._p.desk.dossier.workspaces(reader) if w.permit.key == key]
        if ids:
            self._settle(ids)

    def permit_list(self) -> list[View]:
        """Every permit."""
        with self._p.store.read() as reader:
            keys = [k.key for k in lineage_keys(reader)]
        return [self.permit_show(k) for k in keys]

    def permit_show(self, name: str) -> View:
        """One permit."""
        p = self._p
        with p.store.read() as reader:
            file = p.desk.permit(reader, name)
            workspaces = [w.ref.workspace for w in p.desk.dossier.workspaces(reader, file.key)]
        return views.permit(file, file.standing(Scope(file.key), p.clock.now()), workspaces)

    def sign_off(self, name: str, condition: str) -> View:
        """Sign off a condition of the head version."""
        fact = self._p.intake.sign_off(name, condition)
        self._settle_permit(fact.permit.key)
        return {"permit": fact.permit.key, "version": fact.version, "condition": fact.condition, "by": fact.by}

    def sign(self, payload: dict[str, Json], typ: str, private_pem: bytes) -> bytes:
        """Sign a message as a test issuer. Denied with a key that is trusted for more than profile ``local``."""
        kid, _, _ = jws.inspect(jws.public_pem_of(private_pem))
        if self._p.settings.database.exists():
            for entry, _ in self._p.trust.entries():
                if entry.kid == kid and entry.purpose is TrustPurpose.ISSUER and entry.profiles != ("local",):
                    raise Denied("this key is trusted for real permits: tre does not sign with it")
        return jws.sign(payload, typ, private_pem)

    # -- workspaces --------------------------------------------------------------------------------------------------

    def provision(self, raw: bytes, backend: str | None) -> View:
        """Receive a permit from a file and order a workspace for it. Does not wait; `settle` does."""
        received = self._p.intake.receive(raw, "file")
        if not received.accepted or received.permit is None:
            raise Denied("; ".join(str(f) for f in received.findings))
        file, new = self._p.orders.provision(received.permit, self._place(backend))
        return {
            **self.status(file.workspace.ref.workspace),
            "new": new,
            "findings": views.received(received)["findings"],
        }

    def _place(self, backend: str | None) -> Place:
        backends = self._p.settings.backends
        if backend is None and len(backends) == 1:
            backend = next(iter(backends))
        if backend is None or backend not in backends:
            raise Denied(f"name a backend: {', '.join(sorted(backends))}", "--backend NAME")
        chosen = backends[backend]
        if chosen.profile not in self._p.bundle.profiles:
            raise Denied(f"backend {backend}: there is no profile {chosen.profile!r}")
        name = self._p.settings.environment
        return Place(backend, chosen.profile, name, digest_of({"name": name, "table": json.dumps(dict(chosen.table))}))

    def provision_plan(self, raw: bytes, backend: str | None) -> View:
        """What `provision` would do: verdict, steps to Ready, and what would end."""
        p = self._p
        received = p.intake.check(raw)
        place = self._place(backend)
        driver = p.drivers[place.backend]
        health = driver.check(CheckDepth.CANARY)
        have = health.capabilities if isinstance(health, Health) else frozenset()
        missing = sorted(c.value for c in p.bundle.profiles[place.profile].demanded - have)
        steps = ["ensure wall", "ensure limits", "probe the wall", "ensure mounts", "ensure credentials"]
        steps += ["probe the data", "ensure people"]
        return {
            **views.received(received),
            "backend": place.backend,
            "profile": place.profile,
            "missing_capabilities": list(missing),
            "steps": list(steps) if received.accepted and not missing else [],
            "ends": self._would_end(received.permit.key if received.permit else None),
        }

    def _would_end(self, key: str | None) -> list[Json]:
        """Sessions that live now in workspaces of the permit: an amendment may end them."""
        with self._p.store.read() as reader:
            every = [w for w in self._p.desk.dossier.workspaces(reader) if w.permit.key == key]
            statuses = reader.statuses()
        return [
            f"up to {s.sessions} sessions in {w.ref.workspace}"
            for w in every
            if (s := statuses.get(w.ref.workspace)) and s.sessions
        ]

    def settle(self, workspace: str, limit_s: float = SETTLE_S) -> View:
        """Run passes until the workspace rests, then show it."""
        with self._p.store.read() as reader:
            found = self._p.desk.workspace(reader, workspace).workspace.ref.workspace
        until = self._p.clock.monotonic() + limit_s
        self._settle([found], limit_s)
        while _may_pass(view := self.status(found)) and self._p.clock.monotonic() < until:
            time.sleep(1.0)
            self._settle([found], limit_s)
        return view

    def _settle(self, workspaces: Sequence[str] | None, limit_s: float = SETTLE_S) -> None:
        """Run passes here if nobody else leads; else the poke is enough."""
        try:
            self._p.controller.settle(workspaces, limit_s)
        except Refused as error:
            if "another controller leads" not in error.reason:
                raise
            self._wait_for_leader(workspaces, limit_s)

    def _wait_for_leader(self, workspaces: Sequence[str] | None, limit_s: float) -> None:
        """Poke whoever leads, and wait until each workspace was looked at since and rests."""
        begun = self._p.clock.now()
        until = self._p.clock.monotonic() + limit_s
        with self._p.store.read() as reader:
            waiting = {w for w in workspaces or () if reader.fact(Purged, w) is None}
        for workspace in waiting:
            self._p.store.poke(workspace)
        while waiting and self._p.clock.monotonic() < until:
            time.sleep(_POLL_S)
            with self._p.store.read() as reader:
                seen = reader.statuses()
            rested = {
                w
                for w in waiting
                if (s := seen.get(w)) and s.observed_at > begun and (s.next_look_at - s.observed_at).total_seconds() > 1
            }
            waiting -= rested

    def workspaces(self) -> list[View]:
        """Every workspace."""
        with self._p.store.read() as reader:
            ids = [w.ref.workspace for w in self._p.desk.dossier.workspaces(reader)]
        return [self.status(w) for w in ids]

    def status(self, name: str) -> View:
        """One workspace as last observed; what follows from the clock alone is always current."""
        p = self._p
        now = p.clock.now()
        with p.store.read() as reader:
            file = p.desk.workspace(reader, name)
            status = reader.status(file.workspace.ref.workspace)
        standing = with_purge(file.standing(now), purge_at=None, purged=file.purged is not None, now=now)
        driver = p.drivers.get(file.workspace.ref.backend)
        return views.workspace(file, standing, status, driver.describe() if driver else None, now)

    def probe(self, name: str) -> list[View]:
        """Run the probes of the present rung now."""
        file = self._file(name)
        results = self._p.controller.probe_now(file.workspace.ref.workspace)
        return [views.probe(r) for r in results]

    def _file(self, name: str) -> WorkspaceFile:
        with self._p.store.read() as reader:
            return self._p.desk.workspace(reader, name)

    # -- sessions ----------------------------------------------------------------------------------------------------

    def open_session(self, name: str, person: str | None, mode: Terminal | Command | Stream) -> Opened:
        """Begin a session; stale proofs are renewed by a pass first."""
        file, fresh = self._p.sessions.ready(name)
        if not fresh and file.standing(self._p.clock.now()).active:
            self._settle([file.workspace.ref.workspace])
        return self._p.sessions.open(name, person, mode)

    def session_ended(self, opened: Opened, end: Ended) -> None:
        """Record the end."""
        self._p.sessions.ended(opened, end)

    def session_list(self, name: str | None) -> list[View]:
        """Live sessions, as the far side knows them."""
        with self._p.store.read() as reader:
            dossier = self._p.desk.dossier
            names = [name] if name else [w.ref.workspace for w in dossier.workspaces(reader)]
            files = [self._p.desk.workspace(reader, n) for n in names]
        found: list[View] = []
        for file in files:
            if file.purged:
                continue
            ref = file.workspace.ref
            seen = self._p.drivers[ref.backend].observe([ref])[ref].sessions
            for session in getattr(seen, "value", ()):
                found.append(  # noqa: PERF401  # a comprehension over two levels hides the two levels
                    {
                        "session": session.session,
                        "workspace": ref.workspace,
                        "person": file.person_of(session.slot),
                        "ends_at": format_instant(session.ends_at) if session.slot >= 0 else None,
                    }
                )
        return found

    def session_end(self, session: str) -> View:
        """End one session."""
        for live in self.session_list(None):
            if live["session"] == session:
                self._p.controller.end_session(str(live["workspace"]), session)
                return live
        raise NotFound(f"no live session {session!r}")

    # -- orders ------------------------------------------------------------------------------------------------------

    def suspend(self, name: str, reason: str, person: str | None) -> View:
        """Stop access at once."""
        return self._ordered(views.order(self._p.orders.suspend(name, reason, person)))

    def remove_member(self, name: str, person: str, reason: str) -> View:
        """End a person's access for good."""
        return self._ordered(views.order(self._p.orders.remove_member(name, person, reason)))

    def restart_member(self, name: str, person: str, reason: str) -> View:
        """End a person's sessions and renew the credentials."""
        return self._ordered(views.order(self._p.orders.restart_member(name, person, reason)))

    def _ordered(self, view: View) -> View:
        scope = view["scope"]
        key = scope.get("permit") if isinstance(scope, dict) else None
        self._settle_permit(str(key))
        return view

    def resume(self, name: str, reason: str, person: str | None) -> None:
        """Ask two approvers to lift our suspensions. Always raises."""
        self._p.orders.resume(name, reason, person)

    def close(self, name: str, reason: str) -> None:
        """Ask two approvers to close for good. Always raises."""
        self._p.orders.close(name, reason)

    def members(self, name: str) -> list[Json]:
        """The members of a workspace."""
        members = self.status(name)["members"]
        return list(members) if isinstance(members, list) else []

    def hold_add(self, name: str, reason: str, review_days: int) -> View:
        """Stop the purge of what is named."""
        review_at = self._p.clock.now().replace(microsecond=0) + timedelta(days=review_days)
        return views.order(self._p.orders.hold(name, reason, review_at))

    def hold_release(self, hold: str, reason: str) -> None:
        """Ask two approvers to release a hold. Always raises."""
        self._p.orders.release(hold, reason)

    def hold_list(self) -> list[View]:
        """Every hold."""
        return [{**views.order(o), "open": is_open} for o, is_open in self._p.orders.holds()]

    # -- approvals ---------------------------------------------------------------------------------------------------

    def approval_list(self) -> list[View]:
        """Every request."""
        return [views.approval(a) for a in self._p.approvals.all()]

    def approval_state(self, request: str, private_pem: bytes, *, approves: bool) -> View:
        """Sign a statement with an approver's key and hand it in."""
        found = next((a for a in self._p.approvals.all() if a.request.request == request), None)
        if found is None:
            raise NotFound(f"no request {request!r}")
        kid, _, _ = jws.inspect(jws.public_pem_of(private_pem))
        holder = next((e.holder for e, _ in self._p.trust.entries() if e.kid == kid), "unregistered")
        payload: dict[str, Json] = {
            "request": request,
            "content_digest": found.request.content_digest,
            "approves": approves,
            "approver": holder,
            "at": format_instant(self._p.clock.now()),
        }
        approval = self._p.orders.state(jws.sign(payload, jws.APPROVAL, private_pem))
        self._settle(None)
        found = next(a for a in self._p.approvals.all() if a.request.request == approval.request.request)
        return views.approval(found)

    # -- backends, vault, controller ---------------------------------------------------------------------------------

    def backend_list(self) -> list[View]:
        """Every backend, as configured."""
        return [self._backend(name, None) for name in self._p.drivers]

    def backend_check(self, name: str) -> View:
        """What a backend can do now, really tried."""
        if name not in self._p.drivers:
            raise NotFound(f"no backend {name!r}")
        health = self._p.drivers[name].check(CheckDepth.CANARY)
        return self._backend(name, health if isinstance(health, Health) else None)

    def _backend(self, name: str, health: Health | None) -> View:
        profile = self._p.settings.backends[name].profile
        return views.backend(name, self._p.drivers[name].describe(), profile, health)

    def vault(self, act: str) -> View:
        """start, stop or status."""
        if act == "start":
            self._p.vault.start(self._p.clock.now())
            self._p.vault_setup.unseal()
        if act == "stop":
            self._p.vault.stop()
        s = self._p.vault.state()
        view: View = {"running": s.running, "initialised": s.initialised, "sealed": s.sealed, "version": s.version}
        return {**view, "problem": s.problem}

    def controller_once(self, limit_s: float) -> list[View]:
        """Run passes over everything until it rests."""
        self._p.controller.settle(None, limit_s)
        return self.workspaces()

    # -- proof -------------------------------------------------------------------------------------------------------

    def certificate(self, name: str) -> bytes:
        """The certificate of a purged workspace."""
        file = self._file(name)
        with self._p.store.read() as reader:
            raw = reader.blob(file.purged.certificate_digest) if file.purged else None
        if raw is None:
            raise NotFound(f"{file.workspace.ref.workspace} has no certificate (yet)")
        return raw

    def audit_show(self, subject: str | None, limit: int) -> list[View]:
        """The last records, of one subject or of all."""
        with self._p.store.read() as reader:
            head = reader.head().sequence
            after = 0 if subject else max(0, head - limit)
            return [views.record(r) for r in reader.records(after=after, subject=subject)][-limit:]

    def audit_export(self, target: Path) -> View:
        """Write the record to a file."""
        keys = self.audit_keys()
        with self._p.store.read() as reader:
            lines = export(self._p.desk.installation, reader.lines(), reader.checkpoints(), keys)
            with target.open("wb") as file:
                for line in lines:
                    file.write(line + b"\n")
            head = reader.head()
        return {"file": str(target), "records": head.sequence, "hash": head.hash}

    def audit_keys(self) -> dict[str, str]:
        """The public keys of the record's checkpoints, from the vault; as last kept when it does not answer."""
        kept = self._p.settings.home / "outside" / "checkpoint-keys.json"
        try:
            keys = self._p.authority.public_keys()
        except ContractError:
            if kept.exists():
                return {str(k): str(v) for k, v in json.loads(kept.read_text("ascii")).items()}
            raise
        kept.write_bytes(canonical_bytes(dict(keys)))
        return keys

    def audit_verify(self, *, strict: bool, deep: bool, progress: Callable[[int], None] | None) -> View:
        """Verify our own record against the checkpoints outside the store."""
        outside_file = self._p.settings.checkpoints
        outside = (
            [read_checkpoint(line) for line in outside_file.read_bytes().splitlines() if line]
            if outside_file.exists()
            else []
        )
        keys = self.audit_keys()
        with self._p.store.read() as reader:

            def whole(digest: str) -> bool | None:
                data = reader.blob(digest)
                return None if data is None else sha256_hex(data) == digest

            verdict = verify(
                export(self._p.desk.installation, reader.lines(), reader.checkpoints(), keys),
                outside=outside,
                keys=keys,
                strict=strict,
                blob=whole if deep else None,
                progress=progress,
            )
        return verdict_view(verdict)

    # -- store -------------------------------------------------------------------------------------------------------

    def store_backup(self, target: Path) -> View:
        """A consistent copy of the store."""
        self._p.store.backup(target)
        return {"file": str(target), "bytes": target.stat().st_size}

    def store_reconcile(self) -> View:
        """Leave recovery."""
        restored = self._p.store.reconcile(self._p.desk.principal)
        self._settle(None)
        return {"restored": restored, "recovery": self._p.store.in_recovery()}


def _may_pass(view: View) -> bool:
    """Whether what keeps a workspace from being ready may go away by itself soon."""
    conditions = view["conditions"]
    ready = (
        [c for c in conditions if isinstance(c, dict) and c["type"] == "Ready"] if isinstance(conditions, list) else []
    )
    passing = (Reason.BACKEND_FAILED, Reason.VAULT_UNAVAILABLE, Reason.PROBES_PENDING, Reason.NOT_YET)
    return any(c["status"] != "True" and c["reason"] in passing for c in ready)


def verdict_view(verdict: Verdict) -> View:
    """A verdict on a record."""
    return {
        "ok": verdict.problem is None,
        "records": verdict.records,
        "checkpoints": verdict.checkpoints,
        "head": {"sequence": verdict.head.sequence, "hash": verdict.head.hash},
        "complete": verdict.complete,
        "sentence": verdict.sentence,
    }
