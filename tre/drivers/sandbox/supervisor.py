"""Owns one box from its start to its end. Standard library only, so that it starts in milliseconds.

Started by the driver with the number of one socket as its last argument. The first frame is the specification; then
input and output travel as frames. The box ends when its program does, at its absolute end (by wall time and by boot
time, whichever comes first: a clock set back lengthens nothing), when idle, at a byte cap, when the caller is gone, or
on SIGTERM. However it ends, pid 1 of the box is killed, and with it every process inside.

A frame is one byte of kind, four bytes of length (big endian), and the body.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import pty
import resource
import selectors
import signal
import socket
import struct
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

SPEC, STARTED, OUT, ERR, IN, EOF, RESIZE, END, FAILED = b"S", b"+", b"O", b"E", b"I", b"F", b"R", b"X", b"!"
_CHUNK = 65536
_HEAD = 5
_FRAME_MAX = 4 << 20
_MS_REC, _MS_PRIVATE, _MS_BIND, _MS_NOSUID, _MS_NODEV = 0x4000, 1 << 18, 0x1000, 2, 4
_CLONE_NEWNS = 0x00020000
_STAGE = "/mnt"


def send(sock: socket.socket, kind: bytes, body: bytes = b"") -> None:
    """Send one frame, whole."""
    sock.sendall(kind + struct.pack(">I", len(body)) + body)


class Reader:
    """Collects frames from a stream of bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Take bytes; yield whole frames."""
        self._buffer += data
        while len(self._buffer) >= _HEAD:
            size = struct.unpack(">I", self._buffer[1:_HEAD])[0]
            if size > _FRAME_MAX:
                raise ValueError("a frame is too large")
            if len(self._buffer) < _HEAD + size:
                return
            kind, body = bytes(self._buffer[:1]), bytes(self._buffer[_HEAD : _HEAD + size])
            del self._buffer[: _HEAD + size]
            yield kind, body


def _libc(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _stage(sources: list[str]) -> None:
    """A private mount namespace with every source at /mnt/N, reachable for whoever we become."""
    libc = ctypes.CDLL(None, use_errno=True)
    _libc(libc.unshare(_CLONE_NEWNS), "unshare")
    _libc(libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "make private")
    _libc(libc.mount(b"tmpfs", _STAGE.encode(), b"tmpfs", _MS_NOSUID | _MS_NODEV, b"mode=0755,size=1m"), "stage")
    for number, source in enumerate(sources):
        target = f"{_STAGE}/{number}"
        if Path(source).is_dir():
            Path(target).mkdir(0o755)
        else:
            Path(target).touch(0o644)
        _libc(libc.mount(os.fsencode(source), target.encode(), None, _MS_BIND | _MS_REC, None), f"bind {number}")


def _become(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _memory_file(data: bytes) -> int:
    descriptor = os.memfd_create("tre", 0)
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _arguments(spec: dict[str, Any], status_fd: int) -> tuple[list[str], set[int]]:
    """The command line of bubblewrap, and the descriptors it needs.

    The arguments travel over a descriptor, so that no path of the host stands in the command line of the box's pid 1.
    """
    argv: list[str] = list(spec["argv"])
    keep = {status_fd}
    extra = ["--json-status-fd", str(status_fd)]
    filter_fd = _memory_file(bytes.fromhex(spec["seccomp"]))
    extra += ["--seccomp", str(filter_fd)]
    keep.add(filter_fd)
    for dest, text in spec["files"]:
        descriptor = _memory_file(text.encode())
        extra += ["--perms", "0444", "--ro-bind-data", str(descriptor), dest]
        keep.add(descriptor)
    split = argv.index("--remount-ro")  # generated files come before anything is sealed
    argv[split:split] = extra
    program, command = argv[0], argv[argv.index("--") :]
    hidden = _memory_file(b"".join(os.fsencode(a) + b"\0" for a in argv[1 : argv.index("--")]))
    keep.add(hidden)
    return [program, "--args", str(hidden), *command], keep


def _close_others(keep: set[int]) -> None:
    """Nothing of ours is inherited but the standard streams and what bubblewrap needs."""
    for descriptor in [int(p.name) for p in Path("/proc/self/fd").iterdir()]:
        if descriptor not in (0, 1, 2) and descriptor not in keep:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _default_signals() -> None:
    """The program inside meets signals as in any session."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)


def _child(spec: dict[str, Any], stdio: tuple[int, int, int], status_fd: int) -> NoReturn:
    """In the forked child: limits, control groups, staging, identity, then bubblewrap. Never returns."""
    try:
        os.setsid()
        if spec["terminal"]:
            fcntl.ioctl(stdio[0], termios.TIOCSCTTY, 0)
        for path in spec["cgroups"]:
            Path(path, "cgroup.procs").write_text("0")
        for target, descriptor in enumerate(stdio):
            os.dup2(descriptor, target, inheritable=True)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 4096))
        argv, keep = _arguments(spec, status_fd)
        for descriptor in keep:
            os.set_inheritable(descriptor, True)
        if spec["stage"] is not None:
            _stage(spec["stage"])
        os.umask(0o077)
        if spec["become"] is not None:
            _become(spec["become"])
        os.chdir("/")
        _close_others(keep)
        _default_signals()
        os.execve(argv[0], argv, {"PATH": "/usr/bin:/bin"})  # noqa: S606  # an argument list, no shell
    except BaseException as error:  # noqa: BLE001  # a forked child never returns into its parent's code
        os.write(2, f"tre supervisor: {error}\n".encode())
        os._exit(125)


class Supervisor:
    """One box and its socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.reader = Reader()
        self.spec: dict[str, Any] = {}
        self.boot_end = 0.0
        self.last_active = 0.0
        self.child = 0
        self.selector = selectors.DefaultSelector()
        self.bytes_in = self.bytes_out = 0
        self.reason: str | None = None
        self.box: int | None = None
        self.open_outputs: dict[int, bytes] = {}
        self.pending = bytearray()
        self.stdin: int | None = None
        self.eof = False

    def specification(self) -> dict[str, Any]:
        """Wait for the first frame."""
        while True:
            data = self.sock.recv(_CHUNK)
            if not data:
                sys.exit(0)
            for kind, body in self.reader.feed(data):
                if kind == SPEC:
                    spec: dict[str, Any] = json.loads(body)
                    return spec

    def start(self, spec: dict[str, Any]) -> None:
        """Fork the box; tell the driver its host pid once it runs."""
        self.spec = spec
        boot = time.clock_gettime(time.CLOCK_BOOTTIME)
        self.boot_end = boot + (spec["ends_at"] - time.time())
        status_r, status_w = os.pipe()
        if spec["terminal"]:
            master, slave = pty.openpty()
            self.resize(spec["size"], master)
            ours: tuple[int, int, int | None] = (master, master, None)
            theirs = (slave, slave, slave)
        else:
            in_r, in_w = os.pipe()
            out_r, out_w = os.pipe()
            err_r, err_w = os.pipe()
            ours, theirs = (in_w, out_r, err_r), (in_r, out_w, err_w)
        self.child = os.fork()
        if self.child == 0:
            os.close(status_r)
            _child(spec, theirs, status_w)
        os.close(status_w)
        for descriptor in set(theirs):
            os.close(descriptor)
        self.stdin = ours[0]
        os.set_blocking(self.stdin, False)
        self.open_outputs = {ours[1]: OUT}
        if ours[2] is not None:
            self.open_outputs[ours[2]] = ERR
        # Kept open to the end: bubblewrap writes there once more, and would die of a closed pipe.
        self.status = os.fdopen(status_r, "rb", buffering=0)
        line = self.status.readline()
        if line:
            self.box = json.loads(line).get("child-pid")

    def resize(self, size: list[int], descriptor: int) -> None:
        """Set the terminal's size."""
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", size[0], size[1], 0, 0))

    def left_s(self) -> float:
        """Seconds until the absolute end, by the clock that says less."""
        by_wall = float(self.spec["ends_at"]) - time.time()
        return min(by_wall, self.boot_end - time.clock_gettime(time.CLOCK_BOOTTIME))

    def relay(self) -> None:
        """Carry bytes until something ends the session."""
        self.sock.setblocking(True)
        self.selector.register(self.sock, selectors.EVENT_READ, "sock")
        for descriptor in self.open_outputs:
            self.selector.register(descriptor, selectors.EVENT_READ, "out")
        self.last_active = time.monotonic()
        while self.reason is None:
            if self.left_s() <= 0:
                self.reason = "ended-at"
            elif time.monotonic() - self.last_active > self.spec["idle_s"]:
                self.reason = "idle"
            else:
                self.turn()

    def turn(self) -> None:
        """Wait for one round of events."""
        idle_left = self.spec["idle_s"] - (time.monotonic() - self.last_active)
        timeout = max(0.0, min(self.left_s(), idle_left, 1.0))
        for key, mask in self.selector.select(timeout):
            if key.data == "sock":
                self.from_caller()
            elif key.data == "in" and mask & selectors.EVENT_WRITE:
                self.flush()
            elif key.data == "out":
                self.from_box(key.fd)
        if not self.open_outputs and self.reason is None:
            self.reason = "exited"

    def from_caller(self) -> None:
        """Frames from the driver's side; its end is the session's."""
        try:
            data = self.sock.recv(_CHUNK)
        except OSError:
            data = b""
        if not data:
            self.reason = "closed"
            return
        self.last_active = time.monotonic()
        for kind, body in self.reader.feed(data):
            self.frame(kind, body)

    def frame(self, kind: bytes, body: bytes) -> None:
        """One frame of the driver's side; input past the cap ends the session."""
        if kind == IN:
            self.bytes_in += len(body)
            limit = self.spec["bytes_in_max"]
            if limit is not None and self.bytes_in > limit:
                self.reason = "byte-cap"
                return
            self.pending += body
            self.flush()
        elif kind == EOF:
            self.eof = True
            self.flush()
        elif kind == RESIZE and self.spec["terminal"] and self.stdin is not None:
            self.resize(json.loads(body), self.stdin)
        elif kind == END:
            self.reason = "closed"

    def flush(self) -> None:
        """Write what input there is to the box."""
        if self.stdin is None:
            self.pending.clear()
            return
        try:
            while self.pending:
                written = os.write(self.stdin, self.pending[:_CHUNK])
                del self.pending[:written]
        except BlockingIOError:
            pass
        except OSError:
            self.pending.clear()
            self.eof = True
        self.watch_input()
        if self.eof and not self.pending:
            if self.spec["terminal"]:
                with contextlib.suppress(OSError):
                    os.write(self.stdin, b"\x04")
                self.eof = False
            else:
                os.close(self.stdin)
                self.stdin = None

    def watch_input(self) -> None:
        """Ask to be woken when a full pipe has room again."""
        if self.spec["terminal"]:
            return
        registered = any(k.data == "in" for k in self.selector.get_map().values())
        if self.stdin is None:
            return
        if self.pending and not registered:
            self.selector.register(self.stdin, selectors.EVENT_WRITE, "in")
        elif not self.pending and registered:
            self.selector.unregister(self.stdin)

    def from_box(self, descriptor: int) -> None:
        """Output of the box, cut at the cap."""
        try:
            data = os.read(descriptor, _CHUNK)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""
        if not data:
            self.selector.unregister(descriptor)
            del self.open_outputs[descriptor]
            return
        kind = self.open_outputs[descriptor]
        limit = self.spec["bytes_out_max"]
        if limit is not None and self.bytes_out + len(data) > limit:
            data = data[: max(0, limit - self.bytes_out)]
            self.reason = "byte-cap"
        self.bytes_out += len(data)
        self.last_active = time.monotonic()
        try:
            send(self.sock, kind, data)
        except OSError:
            self.reason = "closed"

    def end(self) -> None:
        """Kill the box, whatever is in it; wait until it is gone; say so."""
        status = None
        if self.reason == "exited":
            status = self.wait(2.0)
        if status is None:
            if self.box:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.box, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child, signal.SIGKILL)
            if self.wait(5.0) is None:
                os.waitpid(self.child, 0)
        with contextlib.suppress(OSError):
            Path(self.spec["session_file"]).unlink()
        exit_status = status if self.reason == "exited" else None
        body = {"reason": self.reason, "status": exit_status, "in": self.bytes_in, "out": self.bytes_out}
        with contextlib.suppress(OSError):
            send(self.sock, END, json.dumps(body).encode())

    def wait(self, limit_s: float) -> int | None:
        """The box's exit status, or None after a limit."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            pid, status = os.waitpid(self.child, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.002)
        return None


def main() -> None:
    """Run one session."""
    sock = socket.socket(fileno=int(sys.argv[3]))
    sock.set_inheritable(False)
    supervisor = Supervisor(sock)

    def ordered(_number: int, _frame: object) -> None:
        supervisor.reason = supervisor.reason or "ordered"

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ordered)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    spec = supervisor.specification()
    supervisor.start(spec)
    if supervisor.box is None:
        message = b"".join(os.read(d, 4096) for d in supervisor.open_outputs if d)
        send(sock, FAILED, message[:2000])
        supervisor.reason = "failed"
        supervisor.end()
        return
    send(sock, STARTED, json.dumps({"box": supervisor.box}).encode())
    supervisor.relay()
    supervisor.end()


if __name__ == "__main__":
    main()
