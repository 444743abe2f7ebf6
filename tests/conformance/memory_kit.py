"""The memory driver as a kit: fixtures and a witness that reads the world's file itself."""

import json
from datetime import datetime
from itertools import count
from pathlib import Path

from tre.model.observed import HeldCredential
from tre.model.secret import Secret
from tre.model.workspace import Mount, WorkspaceRef
from tre.testing.clock import FakeClock
from tre.testing.memory_driver import MemoryDriver, World

LETTERS = "abcdefghijklmnopqrstuvwxyz"


class FixedSecrets:
    def fetch(self, ref: WorkspaceRef, credential: HeldCredential) -> Secret:
        return Secret("canary-secret-91")


class MemoryWitness:
    def __init__(self, file: Path, clock: FakeClock) -> None:
        self.file, self.clock = file, clock

    def _thing(self, ref: WorkspaceRef) -> dict:
        return json.loads(self.file.read_text())["things"].get(ref.far_name, {}) if self.file.exists() else {}

    def inside(self, ref: WorkspaceRef) -> frozenset[str]:
        sessions = json.loads(self._thing(ref).get("sessions", "[]"))
        now = self.clock.now()
        return frozenset(s["session"] for s in sessions if datetime.fromisoformat(s["ends_at"]) > now)

    def admitted(self, ref: WorkspaceRef) -> frozenset[int]:
        return frozenset(p["slot"] for p in json.loads(self._thing(ref).get("people", "[]")))

    def walled(self, ref: WorkspaceRef) -> bool:
        return "wall" in self._thing(ref)

    def anything(self, ref: WorkspaceRef) -> bool:
        return bool(self._thing(ref))

    def _change(self, ref: WorkspaceRef, thing: dict | None) -> None:
        world = json.loads(self.file.read_text()) if self.file.exists() else {"things": {}, "knobs": {}}
        world["things"][ref.far_name] = thing
        self.file.write_text(json.dumps(world))

    def plant_stranger(self, ref: WorkspaceRef) -> None:
        self._change(ref, {"mark": "somebody-else", "precious": 1})

    def stranger_intact(self, ref: WorkspaceRef) -> bool:
        return self._thing(ref) == {"mark": "somebody-else", "precious": 1}

    def damage_wall(self, ref: WorkspaceRef) -> None:
        thing = self._thing(ref)
        del thing["wall"]
        self._change(ref, thing)

    def secrets_in_facts(self, ref: WorkspaceRef, secret: str) -> bool:
        return secret in self.file.read_text()


class MemoryKit:
    secret = "canary-secret-91"
    numbers = count(1)
    driver_class: type[MemoryDriver] = MemoryDriver

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.world = World(folder / "world.json")
        self.witness = MemoryWitness(folder / "world.json", self.clock)

    def driver(self) -> MemoryDriver:
        return self.driver_class(self.world, self.clock, FixedSecrets())

    def ref(self) -> WorkspaceRef:
        number = next(self.numbers)
        tail = "".join(LETTERS[int(d)] for d in f"{number:08d}")
        return WorkspaceRef("a" * 16, "b" * 8 + tail, "memory", 1)

    def mounts(self) -> tuple[Mount, ...]:
        return tuple(Mount(name, f"/data/{name}", "0" * 64) for name in ("one", "two"))

    def slots(self) -> tuple[int, int, int]:
        first = next(self.numbers) * 3
        return first, first + 1, first + 2

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def blind(self, *, blind: bool) -> bool:
        self.world.turn("outage", "out" if blind else None)
        return True
