"""Runs a command as an ordinary user who may read this checkout and its interpreter, wherever root put them.

In a private mount namespace every folder on the way that only root may enter is covered by one that shows nothing but
the paths needed. Usage, as root: python as_user.py UID COMMAND…
"""

import os
import stat
import subprocess
import sys
from pathlib import Path


def closed_ancestor(path: Path) -> Path | None:
    """The highest folder on the way that others may not enter."""
    return next((p for p in reversed(path.parents) if not p.stat().st_mode & stat.S_IXOTH), None)


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def main() -> None:
    uid, command = int(sys.argv[1]), sys.argv[2:]
    if os.environ.get("TRE_UNSHARED") != "1":
        os.environ["TRE_UNSHARED"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])
    del os.environ["TRE_UNSHARED"]
    wanted = [Path(os.path.realpath(sys.base_prefix)), Path(sys.prefix).parent, Path(__file__).resolve().parents[2]]
    mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/mnt")
    covered: dict[Path, list[tuple[Path, Path]]] = {}
    for number, path in enumerate(dict.fromkeys(wanted)):
        ancestor = closed_ancestor(path)
        if ancestor is not None:
            stage = Path(f"/mnt/{number}")
            stage.mkdir()
            mount("--bind", str(path), str(stage))
            covered.setdefault(ancestor, []).append((path, stage))
    for ancestor, binds in covered.items():
        mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(ancestor))
        for path, stage in binds:
            path.mkdir(parents=True, exist_ok=True)
            mount("--bind", str(stage), str(path))
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
