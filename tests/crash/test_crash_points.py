"""Every effect and commit × {before, after}: the process is killed there, really; a restarted one converges.

`make test` runs every point of one life (provision, lock, purge) of the memory driver.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rig import Rig

from tre.audit.export import export, verify
from tre.model.facts import CredentialEpoch, Purged, Workspace
from tre.model.record import RecordKind

LIFE = """
import sys
from pathlib import Path
from rig import Rig
rig = Rig(Path(sys.argv[1]))
number = int(sys.argv[2])
found = rig.count_points() if number == 0 else None
if number:
    rig.crash_at(number)
from crash_life import life
life(rig)
if number == 0:
    print(len(found))
"""


def life(rig: Rig) -> None:
    from crash_life import life as run

    run(rig)


def child(folder: Path, number: int) -> subprocess.CompletedProcess[str]:
    support = str(Path(__file__).parents[1] / "support")
    return subprocess.run(
        [sys.executable, "-c", LIFE, str(folder), str(number)],
        env={**os.environ, "PYTHONPATH": support}, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def violations(rig: Rig) -> list[str]:
    """I1-I8 and I13 after everything has converged past the end."""
    found: list[str] = []
    world = json.loads((rig.folder / "world.json").read_text()) if (rig.folder / "world.json").exists() else {}
    if world.get("things"):
        found.append("I2: something of ours is left in the world")
    vault = json.loads((rig.folder / "vault.json").read_text()) if (rig.folder / "vault.json").exists() else {}
    if "enabled" in vault.get("entities", {}).values():
        found.append("I1: a credential still works")
    with rig.store.read() as reader:
        workspaces = reader.facts(Workspace)
        if len(workspaces) != 1:
            found.append(f"I3: {len(workspaces)} workspaces for one order")
        if len(reader.facts(Purged)) != len(workspaces):
            found.append("I2: a workspace was not purged")
        epochs = [(e.slot, e.epoch) for e in reader.facts(CredentialEpoch)]
        if len(set(epochs)) != len(epochs):
            found.append("I3: an epoch was opened twice")
        records = list(reader.records())
        intents = sum(r.kind is RecordKind.INTENT for r in records)
        outcomes = sum(r.kind is RecordKind.OUTCOME for r in records)
        if intents != outcomes:
            found.append(f"I8: {intents} intents and {outcomes} outcomes")
        lines = export("a" * 16, reader.lines(), reader.checkpoints(), rig.signer.public_keys())
        problem = verify(lines).problem
        if problem:
            found.append(f"I8: {problem}")
    if rig.store.in_recovery():
        found.append(f"the store thinks it was restored: {rig.store.in_recovery()}")
    return found


def test_every_point_of_one_life(tmp_path: Path) -> None:
    golden = tmp_path / "golden"
    golden.mkdir()
    counted = child(golden, 0)
    assert counted.returncode == 0, counted.stderr
    points = int(counted.stdout)
    assert points > 100
    life(Rig(golden))
    assert violations(Rig(golden)) == []
    step = 1 if os.environ.get("TRE_LONG") else 7
    for number in range(1, points + 1, step):
        folder = tmp_path / str(number)
        folder.mkdir()
        killed = child(folder, number)
        assert killed.returncode == -signal.SIGKILL, (number, killed.stderr)
        rig = Rig(folder)
        rig.clock.advance(10)  # the dead leader's lease runs out
        life(rig)
        assert violations(Rig(folder)) == [], f"killed at point {number} of {points}"


@pytest.mark.parametrize("number", [1])
def test_the_kill_is_real(tmp_path: Path, number: int) -> None:
    killed = child(tmp_path, number)
    assert killed.returncode == -signal.SIGKILL
