"""The box as a bubblewrap command line. Pure: values in, arguments out; no text of a permit is among them."""

from dataclasses import dataclass, field
from pathlib import Path

from tre.drivers.sandbox.config import SandboxConfig
from tre.model.workspace import Mount

STAGE = "/mnt"
"""Where the supervisor's private mount namespace shows the sources of binds, as root."""
HOME = "/home/member"
CREDENTIALS = "/run/tre/credentials"


@dataclass(frozen=True, slots=True)
class Bind:
    """A host path that appears inside."""

    source: str
    dest: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """Everything that differs between boxes."""

    uid: int
    hostname: str
    mounts: tuple[Mount, ...]
    binds: tuple[Bind, ...]
    argv: tuple[str, ...]
    terminal: bool
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rendered:
    """What the supervisor needs: sources to stage (in order), generated files, and the arguments."""

    argv: list[str]
    stage: list[str]
    files: list[list[str]]


def render(config: SandboxConfig, bwrap: Path, box: Box, *, staged: bool) -> Rendered:
    """The command line of a box. With `staged`, bind sources are ``/mnt/0``, ``/mnt/1``, … in the order of `stage`."""
    binds = (*(Bind(m.source, f"/data/{m.name}") for m in box.mounts), *box.binds)
    sources = [b.source for b in binds]
    argv = [str(bwrap), "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent"]
    argv += ["--uid", str(box.uid), "--gid", str(box.uid), "--cap-drop", "ALL", "--hostname", box.hostname]
    argv += ["--clearenv", *_environment(box, config)]
    if not box.terminal:
        argv.append("--new-session")
    argv += _system(config)
    argv += ["--proc", "/proc", "--dev", "/dev"]
    for private in ("/tmp", "/run", "/var/tmp", "/dev/shm", "/data", "/home"):  # noqa: S108  # inside the box
        argv += ["--perms", "1777" if "tmp" in private or private == "/dev/shm" else "0755", "--tmpfs", private]  # noqa: S108  # inside the box
    for number, bind in enumerate(binds):
        source = f"{STAGE}/{number}" if staged else bind.source
        argv += ["--bind" if bind.writable else "--ro-bind", source, bind.dest]
    argv += ["--remount-ro", "/data", "--remount-ro", "/home", "--remount-ro", "/", "--chdir", HOME]
    return Rendered([*argv, "--", *box.argv], sources, _files(box))


def _environment(box: Box, config: SandboxConfig) -> list[str]:
    values = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": HOME,
        "USER": "member",
        "LOGNAME": "member",
        "SHELL": config.shell,
        "LANG": "C.UTF-8",
        "TMPDIR": "/tmp",  # noqa: S108  # inside the box
        **box.environment,
    }
    return [part for name, value in values.items() for part in ("--setenv", name, value)]


def _system(config: SandboxConfig) -> list[str]:
    """The read-only system: folders are bound, links are repeated."""
    argv: list[str] = []
    for text in (*config.system_paths, *config.etc_paths):
        path = Path(text)
        if path.is_symlink() and text in config.system_paths:
            argv += ["--symlink", str(path.readlink()), text]
        elif path.exists():
            argv += ["--ro-bind", text, text]
    return argv


def _files(box: Box) -> list[list[str]]:
    """Generated files: nobody's names but the member's own."""
    return [
        ["/etc/passwd", f"member:x:{box.uid}:{box.uid}:member:{HOME}:/bin/bash\n"],
        ["/etc/group", f"member:x:{box.uid}:\n"],
        ["/etc/hosts", "127.0.0.1 localhost\n"],
        ["/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"],
    ]
