"""The sandbox driver on this host, with a witness that reads /proc and the folders itself."""

import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tre.controller.clock import SystemClock
from tre.drivers.sandbox.config import SandboxConfig
from tre.drivers.sandbox.driver import SandboxDriver
from tre.model.observed import HeldCredential
from tre.model.secret import Secret
from tre.model.workspace import Mount, WorkspaceRef
from tre.testing.driver_suite import DriverSuite
from tre.testing.kit import Bench


class FixedSecrets:
    def fetch(self, ref: WorkspaceRef, credential: HeldCredential) -> Secret:
        return Secret("canary-secret-92")


class HostWitness:
    def __init__(self, root: Path, credentials: Path) -> None:
        self.root, self.credentials = root, credentials

    def _supervisors(self, ref: WorkspaceRef) -> dict[str, int]:
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0") if entry.name.isdigit() else []
            except OSError:
                continue
            if ref.mark in words:
                found[words[words.index(ref.mark) + 1]] = int(entry.name)
        return found

    def inside(self, ref: WorkspaceRef) -> frozenset[str]:
        return frozenset(self._supervisors(ref))

    def admitted(self, ref: WorkspaceRef) -> frozenset[int]:
        file = self.root / ref.far_name / "people.json"
        return frozenset(a["slot"] for a in json.loads(file.read_text())) if file.exists() else frozenset()

    def walled(self, ref: WorkspaceRef) -> bool:
        return (self.root / ref.far_name / "wall.json").exists()

    def anything(self, ref: WorkspaceRef) -> bool:
        groups = list(Path("/sys/fs/cgroup").glob(f"*/{ref.far_name}"))
        paths = [self.root / ref.far_name, self.credentials / ref.far_name]
        return bool(groups) or any(p.exists() for p in paths) or bool(self._supervisors(ref))

    def plant_stranger(self, ref: WorkspaceRef) -> None:
        folder = self.root / ref.far_name
        folder.mkdir(parents=True)
        (folder / "precious").write_text("not ours")

    def stranger_intact(self, ref: WorkspaceRef) -> bool:
        folder = self.root / ref.far_name
        return [p.name for p in folder.iterdir()] == ["precious"] and (folder / "precious").read_text() == "not ours"

    def damage_wall(self, ref: WorkspaceRef) -> None:
        (self.root / ref.far_name / "wall.json").unlink()

    def secrets_in_facts(self, ref: WorkspaceRef, secret: str) -> bool:
        own = self.credentials / ref.far_name
        files = [p for p in self.root.rglob("*") if p.is_file() and own not in p.parents]
        return any(secret.encode() in p.read_bytes() for p in files)


class SandboxKit:
    secret = "canary-secret-92"
    numbers = count(secrets.randbelow(10_000) + 1)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = SystemClock()
        self.config = SandboxConfig(
            root=folder / "root", credentials_root=folder / "credentials", uid_base=1_800_000_000
        )
        self.witness = HostWitness(self.config.root, self.config.credentials_root)
        for name in ("one", "two"):
            (folder / name).mkdir(mode=0o755)
            (folder / name / "data.csv").write_text("x\n1\n")
            (folder / name / "data.csv").chmod(0o644)

    def driver(self) -> SandboxDriver:
        return SandboxDriver(self.config, self.clock, FixedSecrets())

    def ref(self) -> WorkspaceRef:
        letters = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(16))
        return WorkspaceRef("a" * 16, letters, "sandbox", 1)

    def mounts(self) -> tuple[Mount, ...]:
        return tuple(Mount(n, str(self.folder / n), "0" * 64) for n in ("one", "two"))

    def slots(self) -> tuple[int, int, int]:
        first = next(self.numbers) * 3
        return first, first + 1, first + 2

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def blind(self, *, blind: bool) -> bool:
        for folder in self.config.root.glob("tre-*"):
            for name in ("people", "sessions"):
                file = folder / (f"{name}.json" if name == "people" else "mounts.json")
                kept = file.with_suffix(".kept")
                if blind and file.exists():
                    file.rename(kept)
                    file.write_text("{torn")
                elif not blind and kept.exists():
                    kept.rename(file)
        return True


@pytest.fixture
def bench() -> Iterator[Bench]:
    folder = Path(tempfile.mkdtemp(prefix="tre-conform-"))
    folder.chmod(0o755)
    made = Bench(SandboxKit(folder))
    yield made
    if not (folder / "root" / made.ref.far_name / "precious").exists():
        made.remove()
        assert not made.kit.witness.anything(made.ref), "something of the workspace was left"
    shutil.rmtree(folder)


class TestSandboxDriver(DriverSuite):
    """Every promise, as whoever runs the tests."""


@pytest.mark.root
def test_the_suite_also_passes_as_an_ordinary_user() -> None:
    """The same suite in a process that is nobody in particular."""
    import subprocess
    import sys

    if os.environ.get("TRE_AS_USER"):
        return
    home = Path(tempfile.mkdtemp(prefix="tre-user-"))
    os.chown(home, 64_123, 64_123)
    helper = Path(__file__).parents[1] / "support" / "as_user.py"
    done = subprocess.run(
        [sys.executable, str(helper), "64123", sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider",
         "-p", "no:randomly", str(Path(__file__)), "-k", "TestSandboxDriver"],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home), "TRE_AS_USER": "1",
             "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    shutil.rmtree(home)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
