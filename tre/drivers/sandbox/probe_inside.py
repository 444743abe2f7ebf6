"""What the canary tries inside the box. Standard library only; a plan as JSON on stdin, results as JSON on stdout.

Each attempt answers ``refused`` (the control held), ``succeeded`` (it did not) or ``inconclusive`` (neither shown).
"""

import ctypes
import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

TIMEOUT_S = 0.7
_REFUSALS = {
    errno.EROFS, errno.EPERM, errno.EACCES, errno.ENOENT, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED,
    errno.ENOSYS, errno.EADDRNOTAVAIL, errno.EXDEV, errno.EINVAL, errno.ESRCH, errno.ENETDOWN, errno.EAFNOSUPPORT,
    errno.EOPNOTSUPP,
}  # fmt: skip

Attempt = tuple[str, str, Callable[[], object]]


def judge(attempt: Callable[[], object]) -> tuple[str, str]:
    """Run one attempt; an error that a control gives is a refusal, any other error shows nothing."""
    try:
        result = attempt()
    except TimeoutError:
        return "refused", "no answer within the limit"
    except OSError as error:
        verdict = "refused" if error.errno in _REFUSALS else "inconclusive"
        return verdict, errno.errorcode.get(error.errno or 0, str(error))
    if result is None or result is False:
        return "refused", "no effect"
    return "succeeded", str(result)[:80]


def tcp(address: str, port: int) -> object:
    """Connect."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect((address, port))
    return f"connected to {address}:{port}"


def udp(address: str, port: int, question: bytes) -> object:
    """Ask and wait for any answer."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect((address, port))
        sock.send(question)
        return f"{len(sock.recv(512))} bytes from {address}:{port}"


def unix(name: str) -> object:
    """Connect to a path or abstract (leading NUL) socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(name)
    return "connected"


def readable(path: str) -> object:
    """Open or list a path that must not be here."""
    where = Path(path)
    if where.is_dir():
        count = sum(1 for _ in where.iterdir())
        return f"{count} entries" if count else False
    with where.open("rb") as file:
        file.read(1)
    return "opened"


def _files(folder: str) -> tuple[str | None, str]:
    """A file of the dataset, and the folder itself."""
    for base, _, names in os.walk(folder):
        for name in names:
            return f"{base}/{name}", folder
    return None, folder


def _write(path: str, flags: int) -> object:
    descriptor = os.open(path, flags, 0o600)
    try:
        os.write(descriptor, b"x")
    finally:
        os.close(descriptor)
    return "written"


def _link_out(file: str, folder: str) -> object:
    os.link(file, f"{folder}/.probe-link")
    return "linked"


def _temporary_link(folder: str) -> object:
    descriptor = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600)
    os.link(f"/proc/self/fd/{descriptor}", f"{folder}/.probe-tmp", follow_symlinks=True)
    return "linked"


def _mount(source: str, target: str, flags: int) -> object:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), target.encode(), None, flags, None) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return "mounted"


def _dataset(name: str) -> Iterator[Attempt]:
    file, folder = _files(f"/data/{name}")
    remount = 0x20 | 0x1000
    yield "dataset-write", f"create in {name}", lambda: _write(f"{folder}/.probe", os.O_CREAT | os.O_WRONLY)
    yield "dataset-write", f"make a folder in {name}", partial(_effect, Path(folder, ".probe-dir").mkdir)
    yield "dataset-write", f"chmod {name}", partial(_effect, partial(Path(folder).chmod, 0o700))
    yield "dataset-write", f"remount {name}", lambda: _mount("none", folder, remount)
    yield "dataset-write", f"temporary file in {name}", lambda: _temporary_link(folder)
    if file is None:
        return
    yield "dataset-write", f"append to a file of {name}", lambda: _write(file, os.O_WRONLY | os.O_APPEND)
    yield "dataset-write", f"truncate a file of {name}", partial(_effect, partial(os.truncate, file, 0))
    yield "dataset-write", f"rename a file of {name}", partial(_effect, partial(Path(file).rename, f"{file}.probe"))
    yield "dataset-write", f"remove a file of {name}", partial(_effect, Path(file).unlink)
    yield "dataset-write", f"link a file of {name}", lambda: _link_out(file, folder)
    yield "dataset-write", f"link a file of {name} home", lambda: _link_out(file, "/home/member")
    through = f"/proc/1/root{file}"
    yield "dataset-write", f"write to {name} through /proc/1/root", lambda: _write(through, os.O_WRONLY)


def _syscall(number: int, *arguments: int) -> object:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *arguments) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return "done"


def _unshare(flags: int) -> object:
    """In a child, so that a success does not change the canary."""
    pid = os.fork()
    if pid == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        os._exit(0 if libc.unshare(flags) == 0 else min(ctypes.get_errno(), 255))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise OSError(code, os.strerror(code))
    return "unshared"


def _privileged(argv: list[str]) -> object:
    try:
        done = subprocess.run(
            argv, capture_output=True, timeout=5, check=False, stdin=subprocess.DEVNULL
        )  # fixed programs
    except FileNotFoundError:
        return False
    return f"{argv[0]} answered 0" if done.returncode == 0 else False


def _keyring() -> object:
    add_key = {"x86_64": 248, "aarch64": 217}[os.uname().machine]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(add_key, b"user", b"tre-probe", b"x", 1, -3) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return "added a key"


def _privilege() -> Iterator[Attempt]:
    yield "privilege", "become root", partial(_effect, partial(os.setuid, 0))
    yield "privilege", "sudo", lambda: _privileged(["sudo", "-n", "true"])
    yield "privilege", "su", lambda: _privileged(["su", "-c", "true"])
    yield "privilege", "mount a tmpfs", lambda: _mount("tmpfs", "/tmp", 0)  # noqa: S108  # the box's own
    yield "privilege", "a user namespace", lambda: _unshare(0x10000000)
    yield "privilege", "a mount namespace", lambda: _unshare(0x00020000)
    yield "privilege", "a network namespace", lambda: _unshare(0x40000000)
    yield "privilege", "the kernel keyring", _keyring
    yield "privilege", "trace pid 1", _ptrace
    yield "privilege", "write to /usr", lambda: _write("/usr/.probe", os.O_CREAT | os.O_WRONLY)
    yield "privilege", "write to /proc/sys", lambda: _write("/proc/sys/kernel/core_pattern", os.O_WRONLY)


def _ptrace() -> object:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, 1, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return "attached"


def _host_process(pid: int, token: str) -> object:
    """A known process of the host must not be seen, by number or by its command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if token.encode() in line:
                return f"seen as {entry.name}"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process of our own may have this number inside; it is the host's only if its command line says so.
    return False


def attempts(plan: dict[str, Any]) -> Iterator[Attempt]:
    """Everything the plan asks for."""
    classes = set(plan["classes"])
    for klass, address, port in plan["targets"]:
        yield _targeted(klass, address, port)
    if "host-process" in classes:
        yield "host-process", "a process of the host", partial(_host_process, plan["host_pid"], plan["host_token"])
        yield "host-process", "signal every process", _signal_all
    if "privilege" in classes:
        yield from _privilege()
    for klass, path in plan["foreign_paths"]:
        yield klass, f"open {klass} by its host path", partial(readable, path)
        yield klass, f"open {klass} through /proc/1/root", partial(readable, f"/proc/1/root{path}")
    if "dataset-write" in classes:
        for name in plan["granted"]:
            yield from _dataset(name)
    if "foreign-dataset" in classes:
        yield "foreign-dataset", "names under /data", partial(_strangers, set(plan["granted"]))


def _targeted(klass: str, address: str, port: int) -> Attempt:
    if klass == "unix-socket":
        return klass, f"socket {address.replace(chr(0), '@')}", partial(unix, address)
    if klass == "dns":
        query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01"
        return klass, f"dns {address}:{port}", partial(udp, address, port, query)
    return klass, f"tcp {address}:{port}", partial(tcp, address, port)


def _strangers(granted: set[str]) -> object:
    """Names under /data that were not granted."""
    return sorted({p.name for p in Path("/data").iterdir()} - granted) or False


def _effect(call: Callable[[], object]) -> object:
    """A call that answers without an error had its effect."""
    call()
    return "done"


def _signal_all() -> object:
    """The canary may signal its own processes only: its pid namespace holds few."""
    names = [p.name for p in Path("/proc").iterdir() if p.name.isdigit()]
    others = [n for n in names if int(n) not in (1, os.getpid(), os.getppid())]
    return f"{len(others)} other processes" if len(others) > 8 else False  # noqa: PLR2004  # a handful are our own children


def main() -> None:
    """Read the plan, try everything, print the results."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(120)
    plan = json.loads(sys.stdin.buffer.read())
    wanted = set(plan["classes"])
    results = []
    for klass, name, attempt in attempts(plan):
        if klass in wanted:
            verdict, detail = judge(attempt)
            results.append([name, klass, verdict, detail])
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()
