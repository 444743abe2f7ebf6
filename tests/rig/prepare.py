"""Brings what the tests need and this machine lacks: with apt when root, else says the command. `make test` runs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NEEDED = {"bubblewrap": "bwrap", "util-linux": "setpriv"}
LIBRARIES = {"libseccomp2": "libseccomp.so.2"}


def missing() -> list[str]:
    """Debian packages that are not here."""
    found = [package for package, program in NEEDED.items() if shutil.which(program) is None]
    folders = [Path("/lib"), Path("/usr/lib"), *Path("/usr/lib").glob("*-linux-gnu")]
    return found + [p for p, name in LIBRARIES.items() if not any((f / name).exists() for f in folders)]


def main() -> int:
    """Install, or say what to install."""
    wanted = missing()
    if not wanted:
        return 0
    command = ["apt-get", "install", "-y", "-q", *wanted]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.stderr.write(f"missing: {', '.join(wanted)}\nroot must run: {' '.join(command)}\n")
        return 0
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["apt-get", "update", "-q"], command):
        done = subprocess.run(step, env=environment, timeout=600, check=False, stdout=subprocess.DEVNULL)
        if done.returncode:
            sys.stderr.write(f"{' '.join(step)} ended with {done.returncode}\n")
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
