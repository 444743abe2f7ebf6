"""Settings to live objects. The only file that sees every room; the driver table is here."""

import getpass
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tre.catalogue.catalogue import Catalogue
from tre.contracts.clock import Clock
from tre.contracts.credentials import Lease
from tre.contracts.driver import Driver
from tre.contracts.secrets import SecretSource
from tre.controller.clock import SystemClock
from tre.controller.leading import Leader
from tre.controller.loop import Controller
from tre.controller.ports import Decoys, Intervals, Ports
from tre.credentials.openbao import AppRole, OpenBaoAuthority
from tre.credentials.policies import CONTROLLER, RESIDUE
from tre.credentials.server import LocalVault
from tre.credentials.setup import Shares, VaultSetup
from tre.credentials.source import MintingSource
from tre.dossier.files import Dossier
from tre.model.canonical import Json
from tre.model.facts import CredentialIssued
from tre.model.names import ID_BYTES, id_from
from tre.model.probe import ProbeClass, ProbeTarget
from tre.model.record import AuditEntry, RecordKind
from tre.operations.approvals import Approvals
from tre.operations.datasets import Datasets
from tre.operations.desk import Denied, Desk
from tre.operations.intake import Intake
from tre.operations.orders import Orders
from tre.operations.sessions import Sessions
from tre.operations.trust import Trust
from tre.policy.bundle import Bundle, default_directory, load_bundle
from tre.policy.intake import Installation
from tre.residue.runner import ScannerProcess
from tre.residue.vault import VaultEyes
from tre.settings import BackendSettings, Settings
from tre.store.effects import StoreEffects, close_open_intents
from tre.store.sql_store import SqlStore, open_store

if TYPE_CHECKING:
    from tre.client.in_process import InProcess
    from tre.drivers.sandbox.driver import SandboxDriver


def new_id() -> str:
    """A new id of ours."""
    return id_from(secrets.token_bytes(ID_BYTES))


def _sandbox(name: str, backend: BackendSettings, house: "House") -> "SandboxDriver":
    from tre.drivers.sandbox.config import parse
    from tre.drivers.sandbox.driver import SandboxDriver

    config = parse(backend.table, house.settings.home / "workspaces" / name)
    return SandboxDriver(config, house.clock, house.secret_source)


DRIVERS: Final[Mapping[str, Callable[[str, BackendSettings, "House"], "SandboxDriver"]]] = {"sandbox": _sandbox}
"""Every driver there is: a new one is a folder and a line here."""


@dataclass
class House:
    """Every live object of one installation, each built when it is first asked for."""

    settings: Settings
    clock: Clock

    @cached_property
    def bundle(self) -> Bundle:
        """The policy bundle as it lies on disk."""
        return load_bundle(self.settings.policies or default_directory())

    @cached_property
    def store(self) -> SqlStore:
        """The store. Denied before `tre init`."""
        if not self.settings.database.exists():
            raise Denied(f"there is no installation in {self.settings.home}", "tre init")
        return self.open_store()

    def open_store(self) -> SqlStore:
        """Open the store, made when it is absent."""
        for folder in (self.settings.home, self.settings.database.parent, self.settings.outside_log.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        s = self.settings
        return open_store(s.database, s.outside_log, s.checkpoints, self.clock)

    @cached_property
    def installation(self) -> str:
        """The id of this installation."""
        with self.store.read() as reader:
            found = reader.setting("installation")
        if not isinstance(found, str):
            raise Denied("the installation was not finished", "tre init")
        return found

    @cached_property
    def dossier(self) -> Dossier:
        """Reads files on permits and workspaces."""
        return Dossier(self.bundle)

    @cached_property
    def desk(self) -> Desk:
        """The common ground of the use cases. The principal is whoever owns the state folder."""
        return Desk(self.store, self.clock, self.dossier, self.installation, principal(), new_id)

    # -- vault -------------------------------------------------------------------------------------------------------

    @cached_property
    def vault(self) -> LocalVault:
        """The local vault's server."""
        program = Path(self.settings.vault.program) if self.settings.vault.program else None
        return LocalVault(self.settings.home / "vault", program)

    @cached_property
    def vault_setup(self) -> VaultSetup:
        """The local vault's installation."""
        return VaultSetup(self.vault, Shares(self.settings.vault.shares, self.settings.vault.threshold))

    @cached_property
    def authority(self) -> OpenBaoAuthority:
        """The credential authority."""
        role = AppRole(self.vault.client, *self.vault_setup.role_files(CONTROLLER))
        return OpenBaoAuthority(role, self.installation, self.clock)

    @cached_property
    def secret_source(self) -> SecretSource:
        """Where drivers get what they deliver."""
        return MintingSource(self.authority, self._note_issued)

    def _note_issued(self, lease: Lease) -> None:
        handle, now = lease.handle, self.clock.now()
        with self.store.begin() as uow:
            workspace = handle.ref.workspace
            uow.add(CredentialIssued(workspace, handle.slot, handle.epoch, lease.accessor, lease.ends_at, now))
            detail: dict[str, Json] = {"slot": handle.slot, "epoch": handle.epoch, "ends_at": lease.ends_at.isoformat()}
            uow.record(AuditEntry(RecordKind.CREDENTIAL_ISSUED, "controller", workspace, detail))

    def new_id(self) -> str:
        """A new id of ours."""
        return new_id()

    @property
    def drivers(self) -> Mapping[str, Driver]:
        """Every configured backend's driver, by the contract."""
        return dict(self.sandboxes)

    @cached_property
    def catalogue(self) -> Catalogue:
        """Reads dataset folders."""
        return Catalogue(self.clock)

    # -- backends and the controller ---------------------------------------------------------------------------------

    @cached_property
    def sandboxes(self) -> "Mapping[str, SandboxDriver]":
        """Every configured backend's driver."""
        found: dict[str, SandboxDriver] = {}
        for name, backend in self.settings.backends.items():
            if backend.driver not in DRIVERS:
                known = ", ".join(sorted(DRIVERS))
                raise Denied(f"backend {name}: there is no driver {backend.driver!r}", f"one of: {known}")
            found[name] = DRIVERS[backend.driver](name, backend, self)
        return found

    @cached_property
    def leader(self) -> Leader:
        """This process's claim to lead."""
        return Leader(self.store, self.clock)

    @cached_property
    def ports(self) -> Ports:
        """Everything a reconciler works with."""
        drivers: dict[str, Driver] = dict(self.sandboxes)
        i = self.settings.intervals
        return Ports(
            store=self.store,
            effects=StoreEffects(self.store, lambda: self.leader.token),
            clock=self.clock,
            dossier=self.dossier,
            drivers=drivers,
            authority=self.authority,
            signer=self.authority,
            scanners=dict.fromkeys(drivers, self.scanner),
            data=self.catalogue,
            decoys=self.decoys(),
            intervals=Intervals(i.sweep_s, i.retry_s, i.probe_retry_s, i.checkpoint_s),
            new_id=new_id,
            close_open_intents=lambda holder: close_open_intents(self.store, holder),
        )

    @cached_property
    def scanner(self) -> ScannerProcess:
        """The residue scanner, with a vault role of its own."""
        role_id, secret_id = self.vault_setup.role_files(RESIDUE)
        return ScannerProcess(
            lambda: VaultEyes(self.vault.address, self.vault.ca_file, role_id, secret_id), self.settings.residue_uid
        )

    def decoys(self) -> Decoys:
        """Things that exist and must not be reachable: made here, so that a refusal means something."""
        folder = self.settings.home / "decoys"
        paths: list[tuple[ProbeClass, str]] = []
        for klass in (ProbeClass.FOREIGN_DATASET, ProbeClass.FOREIGN_WORKSPACE):
            decoy = folder / klass.value
            decoy.mkdir(mode=0o755, parents=True, exist_ok=True)
            (decoy / "decoy.txt").write_text("no data here\n", "ascii")
            paths.append((klass, str(decoy)))
        targets = tuple(ProbeTarget(ProbeClass(t.probe_class), t.address, t.port) for t in self.settings.probe_targets)
        return Decoys(tuple(paths), targets)

    @cached_property
    def controller(self) -> Controller:
        """The controller of this process."""
        return Controller(self.ports, self.leader)

    @cached_property
    def client(self) -> "InProcess":
        """The in-process twin of our API's client."""
        from tre.client.in_process import InProcess

        return InProcess(self)

    # -- use cases ---------------------------------------------------------------------------------------------------

    @cached_property
    def intake(self) -> Intake:
        """Messages in."""
        spe = self.settings.spe
        return Intake(self.desk, Installation(spe.provider, spe.service_id, spe.certificate_until))

    @cached_property
    def trust(self) -> Trust:
        """Keys."""
        return Trust(self.desk)

    @cached_property
    def approvals(self) -> Approvals:
        """Two-person acts."""
        return Approvals(self.desk)

    @cached_property
    def orders(self) -> Orders:
        """Orders."""
        return Orders(self.desk, self.approvals, self.trust)

    @cached_property
    def datasets(self) -> Datasets:
        """The catalogue's facts."""
        return Datasets(self.desk)

    @cached_property
    def sessions(self) -> Sessions:
        """Logins."""
        return Sessions(self.desk, self.sandboxes)


def principal() -> str:
    """Who runs this process, as the system says."""
    try:
        return f"operator:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"operator:{os.getuid()}"


def house(settings: Settings) -> House:
    """The live objects of an installation on this machine's clock."""
    return House(settings, SystemClock())
