"""A whole installation in a folder on memory twins, rebuilt from disk at will: a new `Rig` is a restarted process."""

import base64
import json
import os
import secrets
import signal
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from permits import ISSUER, NOW, payload, sign, status, trust

from tre.contracts.credentials import Lease
from tre.controller.leading import Leader
from tre.controller.loop import Controller
from tre.controller.ports import Decoys, Intervals, Ports
from tre.credentials.source import MintingSource
from tre.dossier.files import Dossier, WorkspaceFile
from tre.model.dataset import Dataset, DatasetVerified
from tre.model.facts import (
    BundleActivated,
    CredentialIssued,
    Footprint,
    FootprintKind,
    Residue,
    TrustPurpose,
    Workspace,
)
from tre.model.names import id_from
from tre.model.order import LineageKey
from tre.model.probe import ProbeClass
from tre.model.record import AuditEntry, RecordKind
from tre.operations.approvals import Approvals
from tre.operations.desk import Desk, NeedsApproval
from tre.operations.intake import Intake, Received
from tre.operations.orders import Orders, Place
from tre.operations.sessions import Sessions
from tre.operations.trust import Trust
from tre.policy import jws
from tre.policy.bundle import default_directory, load_bundle
from tre.policy.intake import Installation
from tre.store.effects import StoreEffects, close_open_intents
from tre.store.sql_store import open_store
from tre.testing.memory_authority import MemoryAuthority
from tre.testing.memory_driver import MemoryDriver, World

BUNDLE = load_bundle(default_directory())
KEY = LineageKey(ISSUER, "lineage-1")


class FileClock:
    """A clock that another process can move: seconds in a file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        if not file.exists():
            self._write(0.0, 1000.0)

    def _write(self, wall: float, boot: float) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps([wall, boot]))
        new.rename(self.file)

    def now(self) -> datetime:
        return NOW + timedelta(seconds=json.loads(self.file.read_text())[0])

    def boot(self) -> tuple[str, float]:
        return "boot-1", json.loads(self.file.read_text())[1]

    def monotonic(self) -> float:
        return time.monotonic()

    def advance(self, seconds: float) -> None:
        wall, boot = json.loads(self.file.read_text())
        self._write(wall + seconds, boot + seconds)

    def jump(self, seconds: float) -> None:
        wall, boot = json.loads(self.file.read_text())
        self._write(wall + seconds, boot)


class Signer:
    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.write_bytes(Ed25519PrivateKey.generate().private_bytes_raw())
        self.key = Ed25519PrivateKey.from_private_bytes(file.read_bytes())

    def sign(self, message: bytes) -> tuple[str, str]:
        return "test:1", base64.b64encode(self.key.sign(message)).decode()

    def public_keys(self) -> dict[str, str]:
        return {"test:1": self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()}


class WorldScanner:
    """Looks into the world's file itself."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def identity(self) -> str:
        return "the test's own eyes"

    def scan(self, footprint: Footprint) -> tuple[Residue, ...]:
        things = json.loads(self.file.read_text())["things"] if self.file.exists() else {}
        if footprint.ref.far_name in things:
            return (Residue(FootprintKind.MARK, footprint.ref.mark, "still in the world"),)
        return ()


class Data:
    """Datasets that are as they were, until a test says otherwise."""

    def __init__(self, folder: Path, clock: FileClock) -> None:
        self.flag, self.clock = folder / "data-changed", clock

    def unchanged(self, dataset: Dataset, last: DatasetVerified) -> bool:
        return not self.flag.exists()

    def verify(self, dataset: Dataset, manifest: bytes) -> DatasetVerified:
        bad = self.flag.exists()
        problem = "changed: a.csv" if bad else None
        return DatasetVerified(dataset.name, dataset.manifest_digest, "f", not bad, problem, self.clock.now())


class Keys:
    """Signing keys, kept in the folder so that a restarted process has them."""

    def __init__(self, folder: Path) -> None:
        self.pairs = {}
        for name in ("issuer", "anna", "ben", "carl"):
            file = folder / f"{name}.key"
            if not file.exists():
                file.write_bytes(jws.new_key().private_pem)
            pem = file.read_bytes()
            public = jws.public_pem_of(pem)
            self.pairs[name] = jws.KeyPair(jws.inspect(public)[0], "EdDSA", pem, public)

    def __getitem__(self, name: str) -> jws.KeyPair:
        return self.pairs[name]


class Rig:
    """One installation, one process."""

    def __init__(self, folder: Path, driver: type[MemoryDriver] = MemoryDriver) -> None:
        self.folder = folder
        self.keys = Keys(folder)
        self.clock = FileClock(folder / "clock")
        self.store = open_store(folder / "s" / "tre.db", folder / "outside.log", folder / "checkpoints", self.clock)
        self.world = World(folder / "world.json")
        self.authority = MemoryAuthority(folder / "vault.json", self.clock)
        self.driver = driver(self.world, self.clock, MintingSource(self.authority, self._note))
        self.dossier = Dossier(BUNDLE)
        self.leader = Leader(self.store, self.clock)
        self.signer = Signer(folder / "signer")
        self.ports = Ports(
            store=self.store,
            effects=StoreEffects(self.store, lambda: self.leader.token),
            clock=self.clock,
            dossier=self.dossier,
            drivers={"memory": self.driver},
            authority=self.authority,
            signer=self.signer,
            scanners={"memory": WorldScanner(folder / "world.json")},
            data=Data(folder, self.clock),
            decoys=Decoys(((ProbeClass.FOREIGN_DATASET, "/nowhere"), (ProbeClass.FOREIGN_WORKSPACE, "/nowhere"))),
            intervals=Intervals(sweep_s=300, retry_s=3, probe_retry_s=5),
            new_id=self.new_id,
            close_open_intents=lambda holder: close_open_intents(self.store, holder),
        )
        self.controller = Controller(self.ports, self.leader)
        self.desk = Desk(self.store, self.clock, self.dossier, self._installation(), "operator:test", self.new_id)
        self.trust = Trust(self.desk)
        self.approvals = Approvals(self.desk)
        self.orders = Orders(self.desk, self.approvals, self.trust)
        self.intake = Intake(self.desk, Installation("local", "local-spe"))
        self.sessions = Sessions(self.desk, {"memory": self.driver})

    @staticmethod
    def new_id() -> str:
        return id_from(secrets.token_bytes(10))

    def _installation(self) -> str:
        with self.store.read() as reader:
            found = reader.setting("installation")
        if isinstance(found, str):
            return found
        with self.store.begin() as uow:
            uow.put_setting("installation", "a" * 16)
            uow.record(AuditEntry(RecordKind.GENESIS, "test", "a" * 16, {}))
            uow.add(BundleActivated(BUNDLE.digest, "test", self.clock.now()))
            now = self.clock.now()
            uow.add(trust(self.keys["issuer"]))
            for name in ("anna", "ben", "carl"):
                uow.add(trust(self.keys[name], purpose=TrustPurpose.APPROVER, holder=name, profiles=()))
            dataset = Dataset(
                "lung", "https://catalogue.example/lung", "/data/lung", "", 1, 1, "-", "-", "-", None, now
            )
            digest = uow.put_blob(b"manifest")
            uow.add(Dataset(**{**{f: getattr(dataset, f) for f in dataset.__slots__}, "manifest_digest": digest}))
            uow.add(DatasetVerified("lung", digest, "f", True, None, now))
        return "a" * 16

    def _note(self, lease: Lease) -> None:
        handle = lease.handle
        with self.store.begin() as uow:
            uow.add(
                CredentialIssued(
                    handle.ref.workspace, handle.slot, handle.epoch, lease.accessor, lease.ends_at, self.clock.now()
                )
            )

    # -- moves -------------------------------------------------------------------------------------------------------

    def receive(self, **changes: Any) -> Received:
        key = self.keys["issuer"]
        return self.intake.receive(sign(payload(key.kid, **changes), key), "test")

    def say(self, **changes: Any) -> Received:
        """A status message of the issuer."""
        key = self.keys["issuer"]
        return self.intake.receive(sign(status(key.kid, self.clock.now(), **changes), key, jws.STATUS), "test")

    def provision(self, profile: str = "local") -> WorkspaceFile:
        received = self.receive()
        assert received.accepted, received.findings
        return self.orders.provision(KEY, Place("memory", profile, "host", "0"))[0]

    def settle(self, limit_s: float = 20.0) -> None:
        """Passes until everything rests; waiting is time that passes."""
        for _ in range(8):
            answers = self.controller.settle(None, limit_s)
            waits = [a.after_s for a in answers.values() if getattr(a, "after_s", 1e9) < 30]
            if not waits:
                return
            self.clock.advance(max(min(waits), 0.01))

    def file(self) -> WorkspaceFile:
        with self.store.read() as reader:
            workspaces = reader.facts(Workspace)
            found = self.dossier.workspace(reader, workspaces[-1].ref.workspace)
        assert found is not None
        return found

    def conditions(self) -> dict[str, tuple[str, str]]:
        with self.store.read() as reader:
            found = reader.status(self.file().workspace.ref.workspace)
        assert found is not None
        return {c.type.value: (c.truth.value, c.reason.value) for c in found.conditions}

    def thing(self) -> dict[str, Any]:
        """The workspace in the world's file."""
        world = json.loads((self.folder / "world.json").read_text()) if (self.folder / "world.json").exists() else {}
        return world.get("things", {}).get(self.file().workspace.ref.far_name, {})

    def approve(self, act: Any, *names: str) -> None:
        """Ask for an act of two people, and have these approve it."""
        try:
            act()
        except NeedsApproval as needed:
            for name in names or ("anna", "ben"):
                self.state(needed.request, name)

    def state(self, request: str, name: str, *, approves: bool = True, **changes: Any) -> None:
        found = next(a for a in self.approvals.all() if a.request.request == request)
        body = {
            "request": request,
            "content_digest": found.request.content_digest,
            "approves": approves,
            "approver": name,
            "at": self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            **changes,
        }
        self.orders.state(jws.sign(body, jws.APPROVAL, self.keys[name].private_pem))

    def crash_at(self, number: int) -> None:
        """Kill this process, really, at the given crash point."""
        seen = 0

        def point(_where: str) -> None:
            nonlocal seen
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

        self.store.crash_point = point

    def count_points(self) -> list[str]:
        """Collect the crash points instead."""
        found: list[str] = []
        self.store.crash_point = found.append
        return found
