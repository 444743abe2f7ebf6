"""What a driver's test file provides: how to build it, and a witness that reads the far side without it."""

from datetime import datetime, timedelta
from typing import Protocol

from tre.contracts.clock import Clock
from tre.contracts.driver import Command, Driver, Session, SessionHost, SessionRequest
from tre.model.observed import ObservedWorkspace
from tre.model.step import Done, Outcome, Pending, Verb
from tre.model.workspace import (
    Access,
    Area,
    AreaKind,
    DesiredMember,
    DesiredWorkspace,
    Environment,
    Isolation,
    Limits,
    Mount,
    WallSpec,
    WorkspaceRef,
)


class Witness(Protocol):
    """Eyes that share nothing with the driver."""

    def inside(self, ref: WorkspaceRef) -> frozenset[str]:
        """Sessions in which something runs now."""
        ...

    def admitted(self, ref: WorkspaceRef) -> frozenset[int]:
        """Slots that the far side would let in now."""
        ...

    def walled(self, ref: WorkspaceRef) -> bool:
        """Whether the wall is there."""
        ...

    def anything(self, ref: WorkspaceRef) -> bool:
        """Whether anything of the workspace exists."""
        ...

    def plant_stranger(self, ref: WorkspaceRef) -> None:
        """Put something of somebody else's under our name."""
        ...

    def stranger_intact(self, ref: WorkspaceRef) -> bool:
        """Whether it is untouched."""
        ...

    def damage_wall(self, ref: WorkspaceRef) -> None:
        """Take the wall away behind the driver's back."""
        ...

    def secrets_in_facts(self, ref: WorkspaceRef, secret: str) -> bool:
        """Whether a delivered secret stands anywhere but in its own file."""
        ...


class Host(Driver, SessionHost, Protocol):
    """A driver with sessions."""


class Kit(Protocol):
    """One backend under test."""

    clock: Clock
    witness: Witness
    secret: str

    def driver(self) -> Host:
        """A driver built anew: nothing may depend on the object."""
        ...

    def ref(self) -> WorkspaceRef:
        """A workspace that never was."""
        ...

    def mounts(self) -> tuple[Mount, ...]:
        """Two datasets that exist."""
        ...

    def slots(self) -> tuple[int, int, int]:
        """Two members' slots and a canary's, never used before."""
        ...

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        ...

    def blind(self, *, blind: bool) -> bool:
        """Make the far side unreadable, and readable again. False when this backend cannot be made so."""
        ...


class Bench:
    """A workspace on a kit, with the moves that tests make."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.ref = kit.ref()
        self.first, self.second, self.canary = kit.slots()
        self.ends_at = (kit.clock.now() + timedelta(seconds=600)).replace(microsecond=0)
        self.fence = 1

    def desired(
        self,
        access: Access = Access.OPEN,
        *,
        slots: tuple[int, ...] | None = None,
        mounts: tuple[Mount, ...] | None = None,
        epoch: int = 1,
        ends_at: datetime | None = None,
    ) -> DesiredWorkspace:
        """What must be; both members and both datasets unless said otherwise."""
        end = ends_at or self.ends_at
        chosen = (self.first, self.second) if slots is None else slots
        isolation = Isolation(Environment("test", "0"), (Area(AreaKind.HOME), Area(AreaKind.SHARED)))
        return DesiredWorkspace(
            ref=self.ref,
            access=access,
            wall=WallSpec(isolation, end),
            limits=Limits(cpus=1, memory_bytes=256 << 20, processes=64),
            mounts=self.kit.mounts() if mounts is None else mounts,
            members=tuple(DesiredMember(s, end, epoch, end) for s in chosen),
        )

    def look(self) -> ObservedWorkspace:
        """The world through a fresh driver."""
        return self.kit.driver().observe([self.ref])[self.ref]

    def converge(self, desired: DesiredWorkspace | None, passes: int = 4) -> ObservedWorkspace:
        """Plan and perform with fresh drivers until the plan is empty; AssertionError when it never is."""
        for _ in range(passes):
            driver = self.kit.driver()
            observed = driver.observe([self.ref])[self.ref]
            plan = driver.plan(desired, observed)
            if not plan:
                return observed
            for step in plan:
                outcome = driver.perform([step], self.fence)[0]
                if step.verb is Verb.ENSURE:
                    assert isinstance(outcome, Done), (step.kind, outcome)
        observed = self.look()
        left = self.kit.driver().plan(desired, observed)
        assert left == (), f"not converged after {passes} passes: {[s.kind for s in left]}"
        return observed

    def outcomes(self, desired: DesiredWorkspace | None) -> list[tuple[str, Outcome]]:
        """Perform one plan, and say what came of each step."""
        driver = self.kit.driver()
        plan = driver.plan(desired, driver.observe([self.ref])[self.ref])
        return [(f"{s.verb} {s.part}", driver.perform([s], self.fence)[0]) for s in plan]

    def attach(self, slot: int, name: str, ends_at: datetime | None = None) -> Session:
        """A session that sleeps."""
        request = SessionRequest(name, slot, ends_at or self.ends_at, 600, Command(("/bin/sleep", "300")))
        session = self.kit.driver().attach(self.ref, request)
        assert not isinstance(session, Pending), session
        return session

    def remove(self) -> None:
        """Leave nothing behind, whatever the test did."""
        self.converge(None, passes=5)
