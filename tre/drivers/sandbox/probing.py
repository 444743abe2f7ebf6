"""Probes of a sandbox: listeners as positive controls, the canary's run, and knocks from outside after a lock."""

import contextlib
import json
import os
import secrets
import shutil
import socketserver
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from tre.drivers.sandbox import probe_inside
from tre.drivers.sandbox.render import Bind
from tre.model.probe import ProbeClass, ProbePlan, ProbeResult, ProbeTarget, Verdict

PROBE_FILE: Final = "/run/tre/probe/probe_inside.py"
CANARY_LIFE_S: Final = 120
_LISTENED: Final = (ProbeClass.NETWORK, ProbeClass.DNS, ProbeClass.UNIX_SOCKET)


@dataclass(frozen=True, slots=True)
class Listening:
    """Targets that answer outside for the length of one run."""

    targets: tuple[ProbeTarget, ...]


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class _Answer(socketserver.BaseRequestHandler):
    """A connection that is accepted is an answer."""


class _Udp(socketserver.ThreadingUDPServer):
    daemon_threads = True


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, sock = self.request
        sock.sendto(data, self.client_address)


class _Unix(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextmanager
def listening() -> Iterator[Listening]:
    """Open a TCP and a UDP listener on loopback, a path socket and an abstract socket; close them at the end."""
    folder = tempfile.mkdtemp(prefix="tre-probe-")  # short, since a socket's path is; and 0700
    path = f"{folder}/host.sock"
    abstract = f"\0tre-probe-{secrets.token_hex(8)}"
    servers: list[_Tcp | _Udp | _Unix] = [
        _Tcp(("127.0.0.1", 0), _Answer),
        _Udp(("127.0.0.1", 0), _Echo),
        _Unix(path, _Answer),
        _Unix(abstract, _Answer),
    ]
    threads = [threading.Thread(target=s.serve_forever, args=(0.02,), daemon=True) for s in servers]
    for thread in threads:
        thread.start()
    tcp_port, udp_port = (s.socket.getsockname()[1] for s in (servers[0], servers[1]))
    targets = (
        ProbeTarget(ProbeClass.NETWORK, "127.0.0.1", int(tcp_port)),
        ProbeTarget(ProbeClass.DNS, "127.0.0.1", int(udp_port)),
        ProbeTarget(ProbeClass.UNIX_SOCKET, path),
        ProbeTarget(ProbeClass.UNIX_SOCKET, abstract),
    )
    try:
        yield Listening(targets)
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
        shutil.rmtree(folder)


def answers_outside(target: ProbeTarget, allowed: frozenset[str]) -> bool:
    """The positive control: whether the target answers us, outside. Only loopback and configured ones are tried."""
    if target.probe_class is ProbeClass.UNIX_SOCKET:
        return probe_inside.judge(lambda: probe_inside.unix(target.address))[0] == "succeeded"
    if target.address != "127.0.0.1" and target.address not in allowed:
        return False
    if target.probe_class is ProbeClass.DNS:
        return probe_inside.judge(lambda: probe_inside.udp(target.address, target.port, b"?"))[0] == "succeeded"
    return probe_inside.judge(lambda: probe_inside.tcp(target.address, target.port))[0] == "succeeded"


def exists_outside(path: str) -> bool:
    """The positive control of a decoy: there is something to find."""
    where = Path(path)
    return where.exists() and (not where.is_dir() or any(where.iterdir()))


def interpreter_binds() -> tuple[tuple[Bind, ...], str]:
    """Our own interpreter, for the canary only: the binds it needs, and its path inside."""
    prefix, program = os.path.realpath(sys.base_prefix), os.path.realpath(sys.executable)
    script = Bind(str(Path(probe_inside.__file__)), PROBE_FILE)
    if prefix == "/usr":
        return (script,), program
    return (Bind(prefix, prefix), script), program


def plan_json(plan: ProbePlan, targets: tuple[ProbeTarget, ...], token: str) -> bytes:
    """The plan as the canary reads it."""
    return json.dumps(
        {
            "classes": sorted(plan.classes),
            "targets": [[t.probe_class, t.address, t.port] for t in targets],
            "foreign_paths": [[k, p] for k, p in plan.foreign_paths],
            "granted": list(plan.granted),
            "host_pid": os.getpid(),
            "host_token": token,
        }
    ).encode()


@dataclass(frozen=True, slots=True)
class Controls:
    """What answered outside in this run: attempts at anything else prove nothing."""

    answered: frozenset[str]
    decoys: frozenset[str]


def controls(plan: ProbePlan, targets: tuple[ProbeTarget, ...], allowed: frozenset[str]) -> Controls:
    """Run every positive control."""
    answered = frozenset(_attempt_name(t) for t in targets if answers_outside(t, allowed))
    decoys = frozenset(k for k, p in plan.foreign_paths if exists_outside(p))
    return Controls(answered, decoys)


def _attempt_name(target: ProbeTarget) -> str:
    """The name `probe_inside.attempts` gives to this target's attempt."""
    if target.probe_class is ProbeClass.UNIX_SOCKET:
        return f"socket {target.address.replace(chr(0), '@')}"
    kind = "dns" if target.probe_class is ProbeClass.DNS else "tcp"
    return f"{kind} {target.address}:{target.port}"


def weigh(raw: bytes, found: Controls, now: datetime) -> tuple[ProbeResult, ...]:
    """The canary's results, each weighed against its positive control.

    A refusal counts only where somebody outside got an answer. A success counts always.
    """
    results: list[ProbeResult] = []
    for name, klass_text, verdict_text, detail in json.loads(raw):
        klass, verdict = ProbeClass(klass_text), Verdict(verdict_text)
        targeted = name.startswith(("tcp ", "dns ", "socket "))
        if verdict is Verdict.REFUSED and targeted and name not in found.answered:
            verdict, detail = Verdict.UNANSWERED, "answers nobody outside either"  # noqa: PLW2901  # weighed
        decoyed = klass in (ProbeClass.FOREIGN_WORKSPACE, ProbeClass.FOREIGN_DATASET) and name.startswith("open ")
        if verdict is Verdict.REFUSED and decoyed and klass not in found.decoys:
            verdict, detail = Verdict.UNANSWERED, "the decoy does not exist"  # noqa: PLW2901  # weighed
        results.append(ProbeResult(name, klass, verdict, detail, now))
    return tuple(results)


def opened(plan: ProbePlan) -> AbstractContextManager[Listening]:
    """Listeners, when a class of the plan needs them."""
    wanted = bool(plan.classes.intersection(_LISTENED))
    return listening() if wanted else contextlib.nullcontext(Listening(()))


def mounts_naming(path: Path) -> tuple[int, ...]:
    """Processes in whose mount namespace something of `path` is mounted."""
    found: list[int] = []
    needle = str(path).encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if needle in (entry / "mountinfo").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return tuple(found)


def processes_of(uids: frozenset[int]) -> tuple[int, ...]:
    """Processes with one of these uids, by /proc."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if entry.stat().st_uid in uids:
                    found.append(int(entry.name))
            except OSError:
                continue
    return tuple(found)
