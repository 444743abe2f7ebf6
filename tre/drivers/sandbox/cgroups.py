"""Limits by control group, version 1 or 2, where we may write; nothing else counts as a limit."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tre.contracts.errors import Transient
from tre.model.workspace import Capability, Limits

_PERIOD_US: Final = 100_000
_ROOT: Final = Path("/sys/fs/cgroup")
_V1: Final = {
    "memory": Capability.MEMORY_LIMIT,
    "pids": Capability.PROCESS_LIMIT,
    "cpu": Capability.CPU_LIMIT,
}


@dataclass(frozen=True, slots=True)
class Cgroups:
    """Where control groups can be made: a folder per controller (version 1), or one for all (version 2)."""

    folders: dict[str, Path]
    unified: bool

    @classmethod
    def find(cls) -> "Cgroups":
        """Look what is mounted and writable. As an ordinary user: nothing is."""
        if os.geteuid() != 0:
            return cls({}, unified=False)
        if (_ROOT / "cgroup.controllers").exists():
            have = set((_ROOT / "cgroup.subtree_control").read_text("ascii").split())
            return cls({c: _ROOT for c in _V1 if c in have}, unified=True)
        folders = {c: _ROOT / c for c in _V1 if (_ROOT / c / "cgroup.procs").exists()}
        return cls({c: f for c, f in folders.items() if os.access(f, os.W_OK)}, unified=False)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What can be limited."""
        return frozenset(_V1[c] for c in self.folders)

    def paths(self, name: str) -> tuple[Path, ...]:
        """The control groups of that name, made or not."""
        return tuple(sorted({folder / name for folder in self.folders.values()}))

    def ensure(self, name: str, limits: Limits) -> None:
        """Make the groups and set their limits. Idempotent."""
        for path in self.paths(name):
            path.mkdir(exist_ok=True)
        for file, value in self._settings(name, limits):
            file.write_text(value, "ascii")

    def _settings(self, name: str, limits: Limits) -> list[tuple[Path, str]]:
        wanted: list[tuple[Path, str]] = []
        if limits.memory_bytes and "memory" in self.folders:
            file = "memory.max" if self.unified else "memory.limit_in_bytes"
            wanted.append((self.folders["memory"] / name / file, str(limits.memory_bytes)))
        if limits.processes and "pids" in self.folders:
            wanted.append((self.folders["pids"] / name / "pids.max", str(limits.processes)))
        if limits.cpus and "cpu" in self.folders:
            quota = limits.cpus * _PERIOD_US
            if self.unified:
                wanted.append((self.folders["cpu"] / name / "cpu.max", f"{quota} {_PERIOD_US}"))
            else:
                wanted.append((self.folders["cpu"] / name / "cpu.cfs_quota_us", str(quota)))
        return wanted

    def as_wanted(self, name: str, limits: Limits) -> bool:
        """Whether the groups are there with these limits, as the kernel reports them."""
        try:
            return all(file.read_text("ascii").strip() == value for file, value in self._settings(name, limits))
        except OSError:
            return False

    def processes(self, name: str) -> frozenset[int]:
        """Every process in the groups."""
        found: set[int] = set()
        for path in self.paths(name):
            try:
                found.update(int(pid) for pid in (path / "cgroup.procs").read_text("ascii").split())
            except OSError:
                continue
        return frozenset(found)

    def remove(self, name: str) -> tuple[str, ...]:
        """Remove the groups; the kernel refuses while a process is inside. Idempotent."""
        removed: list[str] = []
        for path in self.paths(name):
            for attempt in range(20):
                try:
                    path.rmdir()
                    removed.append(f"cgroup {path}")
                    break
                except FileNotFoundError:
                    break
                except OSError as error:
                    if attempt == 19:  # noqa: PLR2004  # the last of the attempts above
                        raise Transient(f"{path} is still in use") from error
                    time.sleep(0.02)
        return tuple(removed)
