"""Boxes as processes: launching one through its supervisor, seeing whether it lives, ending it for sure."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tre.contracts.driver import Command, SessionRequest, Stream, Terminal
from tre.contracts.errors import Permanent, Refused, Transient
from tre.drivers.sandbox import supervisor as wire
from tre.drivers.sandbox.cgroups import Cgroups
from tre.drivers.sandbox.config import SandboxConfig
from tre.drivers.sandbox.folder import MOUNTS, Folder, write
from tre.drivers.sandbox.render import CREDENTIALS, HOME, Bind, Box, render
from tre.drivers.sandbox.session import SandboxSession
from tre.model.workspace import AreaKind, Mount

_START_S: Final = 10.0
_GONE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Launch:
    """What to run: the request, the mounts, and what else is bound (the canary's interpreter)."""

    request: SessionRequest
    mounts: tuple[Mount, ...]
    extra: tuple[Bind, ...] = ()


class Boxes:
    """The boxes of one backend."""

    def __init__(self, config: SandboxConfig, bwrap: Path, cgroups: Cgroups, seccomp: bytes) -> None:
        self._config = config
        self._bwrap = bwrap
        self._cgroups = cgroups
        self._seccomp = seccomp.hex()
        self._root = os.geteuid() == 0

    def uid_of(self, slot: int) -> int:
        """The uid of a slot: its own as root, ours as an ordinary user. Permanent beyond the range."""
        if not self._root:
            return os.getuid()
        if not 0 <= slot < self._config.uid_count:
            raise Permanent(f"slot {slot} is outside the backend's range of {self._config.uid_count} uids")
        return self._config.uid_base + slot

    def launch(self, folder: Folder, launch: Launch) -> SandboxSession:
        """Start a box under the folder's lock; it lives when this returns. Transient when it does not start."""
        request = launch.request
        session_file = folder.sessions / f"{request.session}.json"
        if session_file.exists():
            raise Refused(f"session {request.session} was begun before")
        ours, theirs = socket.socketpair()
        process = self._spawn(theirs, folder, request)
        about: dict[str, Any] = {
            "session": request.session,
            "slot": request.slot,
            "ends_at": request.ends_at.timestamp(),
            "mounts": json.loads(MOUNTS.dump_json(launch.mounts)),
            "supervisor": [process.pid, start_time(process.pid)],
            "box": None,
        }
        write(session_file, json.dumps(about).encode())
        session = SandboxSession(request.session, request.ends_at, ours, process)
        try:
            wire.send(ours, wire.SPEC, json.dumps(self._specification(folder, launch, session_file)).encode())
            box = self._started(ours)
        except (OSError, Transient):
            session.close()
            session_file.unlink(missing_ok=True)
            raise
        about["box"] = [box, start_time(box)]
        write(session_file, json.dumps(about).encode())
        return session

    def _spawn(self, theirs: socket.socket, folder: Folder, request: SessionRequest) -> subprocess.Popen[bytes]:
        """The supervisor, detached, with the socket as descriptor 3 and our mark in its arguments."""
        with theirs:
            saved = theirs.fileno()
            return subprocess.Popen(
                [sys.executable, "-I", "-S", wire.__file__, folder.ref.mark, request.session, str(saved)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(saved,),
                start_new_session=True,
                env={"PATH": "/usr/bin:/bin"},
                cwd="/",
            )

    @staticmethod
    def _started(ours: socket.socket) -> int:
        """The box's pid, once the supervisor says that it runs."""
        ours.settimeout(_START_S)
        try:
            kind, body = _first_frame(ours)
        except TimeoutError as error:
            raise Transient("the box did not begin in time") from error
        finally:
            ours.settimeout(None)
        if kind != wire.STARTED:
            said = body.decode(errors="replace").strip()[:300] or "its supervisor ended"
            raise Transient(f"the box did not begin: {said}")
        return int(json.loads(body)["box"])

    def _specification(self, folder: Folder, launch: Launch, session_file: Path) -> dict[str, Any]:
        request = launch.request
        uid = self.uid_of(request.slot)
        mode = request.mode
        if isinstance(mode, Stream):
            raise Refused("this backend has no streams")
        terminal = isinstance(mode, Terminal)
        argv = mode.argv if isinstance(mode, Command) else (self._config.shell, "-l")
        box = Box(
            uid=uid,
            hostname=f"ws-{folder.ref.workspace}",
            mounts=launch.mounts,
            binds=(*self._areas(folder, request.slot), *launch.extra),
            argv=argv,
            terminal=terminal,
            environment={"TERM": "xterm-256color"} if terminal else {},
        )
        rendered = render(self._config, self._bwrap, box, staged=self._root)
        return {
            "argv": rendered.argv,
            "stage": rendered.stage if self._root else None,
            "files": rendered.files,
            "become": uid if self._root else None,
            "cgroups": [str(p) for p in self._cgroups.paths(folder.ref.far_name) if p.exists()],
            "seccomp": self._seccomp,
            "terminal": terminal,
            "size": [mode.rows, mode.columns] if isinstance(mode, Terminal) else None,
            "ends_at": request.ends_at.timestamp(),
            "idle_s": request.idle_s,
            "bytes_out_max": request.bytes_out_max,
            "bytes_in_max": request.bytes_in_max,
            "session_file": str(session_file),
        }

    @staticmethod
    def _areas(folder: Folder, slot: int) -> tuple[Bind, ...]:
        """The member's home and the workspace's common areas, and the member's credentials where delivered."""
        storage = folder.path / "storage"
        binds = [Bind(str(storage / f"home-{slot}"), HOME, writable=True)]
        binds += [
            Bind(str(storage / kind), f"/{kind}", writable=kind is not AreaKind.IMPORT)
            for kind in (AreaKind.SHARED, AreaKind.IMPORT, AreaKind.EXPORT)
            if (storage / kind).is_dir()
        ]
        if (folder.credentials / str(slot)).is_dir():
            binds.append(Bind(str(folder.credentials / str(slot)), CREDENTIALS))
        return tuple(binds)

    # -- life and death ----------------------------------------------------------------------------------------------

    def lives(self, about: dict[str, Any]) -> bool:
        """Whether anything of the session still runs: its supervisor, or its box."""
        return _alive(about["supervisor"]) or _alive(about["box"])

    def end(self, folder: Folder, about: dict[str, Any]) -> None:
        """End a session and wait until nothing of it runs. Transient when it will not die. Idempotent."""
        if _alive(about["supervisor"]):
            _signal(about["supervisor"], signal.SIGTERM)
            if not _gone(about["supervisor"], 2.0):
                _signal(about["supervisor"], signal.SIGKILL)
        if _alive(about["box"]):
            _signal(about["box"], signal.SIGKILL)
        if not (_gone(about["supervisor"], _GONE_S) and _gone(about["box"], _GONE_S)):
            raise Transient(f"session {about['session']} does not end", retry_after_s=1.0)
        (folder.sessions / f"{about['session']}.json").unlink(missing_ok=True)

    def end_strays(self, folder: Folder, slots: frozenset[int]) -> None:
        """Kill what no session file knows: by mark, by control group, and as root by uid. Transient if any stays."""
        limit = time.monotonic() + _GONE_S
        while strays := self.strays(folder, slots):
            for pid in strays:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > limit:
                raise Transient(f"process {min(strays)} of the workspace does not end", retry_after_s=1.0)
            time.sleep(0.02)

    def strays(self, folder: Folder, slots: frozenset[int]) -> frozenset[int]:
        """Processes of the workspace, whoever remembers them."""
        found = set(self._cgroups.processes(folder.ref.far_name))
        uids = frozenset(self.uid_of(s) for s in slots) if self._root else frozenset()
        mark = folder.ref.mark.encode()
        script = wire.__file__.encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                line = (entry / "cmdline").read_bytes().split(b"\0")
                owner = entry.stat().st_uid
                state = (entry / "stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()[0]
            except OSError:
                continue
            ours = script in line and mark in line
            if state != "Z" and (ours or owner in uids):
                found.add(int(entry.name))
        return frozenset(found)


def _first_frame(ours: socket.socket) -> tuple[bytes, bytes]:
    """The first frame, and no byte of the next: those are the session's."""
    head = _exactly(ours, 5)
    return head[:1], _exactly(ours, int.from_bytes(head[1:5], "big"))


def _exactly(ours: socket.socket, size: int) -> bytes:
    """That many bytes; fewer at the end of the stream."""
    found = b""
    while len(found) < size:
        more = ours.recv(size - len(found))
        if not more:
            break
        found += more
    return found


def start_time(pid: int) -> int:
    """The kernel's start time of a process, in ticks since boot; 0 when it is gone. Tells a reused pid."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()[19])
    except (OSError, IndexError):
        return 0


def _alive(identity: list[int] | None) -> bool:
    if not identity or identity[1] == 0:
        return False
    try:
        fields = Path(f"/proc/{identity[0]}/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return False
    return int(fields[19]) == identity[1] and fields[0] != "Z"


def _signal(identity: list[int], number: signal.Signals) -> None:
    if _alive(identity):
        with contextlib.suppress(ProcessLookupError):
            os.kill(identity[0], number)


def _gone(identity: list[int] | None, limit_s: float) -> bool:
    until = time.monotonic() + limit_s
    while _alive(identity):
        if identity is not None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(identity[0], os.WNOHANG)
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True
