"""The scan of one host, by eyes that share nothing with the driver: names in, what is still there out."""

import os
from collections.abc import Iterable
from pathlib import Path

from tre.model.facts import FootprintItem, FootprintKind, Residue


def look(items: Iterable[FootprintItem]) -> tuple[Residue, ...]:
    """Everything of the footprint on this host that still exists. OSError when something cannot be looked at."""
    found: list[Residue] = []
    items = tuple(items)
    paths = [i.value for i in items if i.kind in (FootprintKind.PATH, FootprintKind.CGROUP)]
    for item in items:
        if item.kind in (FootprintKind.PATH, FootprintKind.CGROUP):
            found += _path(item)
    found += _processes(
        uids={int(i.value) for i in items if i.kind is FootprintKind.UID},
        marks={i.value for i in items if i.kind is FootprintKind.MARK},
        paths=paths,
    )
    return tuple(found)


def _path(item: FootprintItem) -> list[Residue]:
    """A missing path is no residue; one that we may not look at raises."""
    try:
        seen = os.lstat(item.value)
    except FileNotFoundError:
        return []
    return [Residue(item.kind, item.value, f"exists, mode {seen.st_mode:o}")]


def _processes(uids: set[int], marks: set[str], paths: list[str]) -> list[Residue]:
    found: list[Residue] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            owner = entry.stat().st_uid
            line = (entry / "cmdline").read_bytes()
            mounts = (entry / "mountinfo").read_text("utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        except PermissionError:
            if os.geteuid() == 0:
                raise
            continue
        except OSError:
            continue
        if owner in uids:
            found.append(Residue(FootprintKind.UID, str(owner), f"process {entry.name} runs"))
        arguments = line.decode("utf-8", errors="replace").split("\0")
        found += [
            Residue(FootprintKind.MARK, mark, f"process {entry.name} bears it") for mark in marks if mark in arguments
        ]
        found += [
            Residue(FootprintKind.PATH, path, f"mounted in process {entry.name}") for path in paths if path in mounts
        ]
    return found
