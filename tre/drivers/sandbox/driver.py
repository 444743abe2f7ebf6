"""The sandbox driver: the contract over folders and boxes. See README.md."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

from pydantic import ValidationError

from tre.contracts.clock import Clock
from tre.contracts.driver import (
    CONTRACT_VERSION,
    CheckDepth,
    Command,
    DriverInfo,
    Ended,
    FenceReach,
    Health,
    Output,
    Problem,
    Session,
    SessionRequest,
    Stream,
)
from tre.contracts.errors import ContractError, Permanent, Refused, Transient
from tre.contracts.secrets import SecretSource
from tre.drivers.sandbox import probing
from tre.drivers.sandbox.boxes import Boxes, Launch
from tre.drivers.sandbox.cgroups import Cgroups
from tre.drivers.sandbox.config import SandboxConfig
from tre.drivers.sandbox.folder import (
    CREDENTIALS,
    HELD,
    LIMITS,
    MOUNTS,
    NAMES,
    PEOPLE,
    REF,
    SLOTS,
    WALL,
    Folder,
    remove_tree,
    write,
)
from tre.drivers.sandbox.seccomp import filter_bytes
from tre.model.facts import FootprintItem, FootprintKind
from tre.model.observed import Admission, Known, LiveSession, ObservedWorkspace, Unknown
from tre.model.probe import ProbeClass, ProbePlan, ProbeResult, Verdict
from tre.model.step import Done, Failed, Outcome, Part, Pending, Step, Verb
from tre.model.workspace import (
    Access,
    AreaKind,
    Capability,
    DesiredWorkspace,
    Limits,
    Mount,
    WallSpec,
    WorkspaceRef,
)
from tre.planning import ladder

V = TypeVar("V")
_ALWAYS: Final = frozenset(
    {
        Capability.NETWORK_DENY_ALL,
        Capability.READ_ONLY_MOUNT,
        Capability.RECURSIVE_READ_ONLY,
        Capability.INTERACTIVE_SESSION,
    }
)
_SAME_ACCOUNT: Final = "same account: all members' sessions run as the user who runs tre, and are not separated"
_STEP_LIMIT_S: Final = 30.0


class SandboxDriver:
    """`tre.contracts.driver.Driver` and `SessionHost` on this host."""

    def __init__(self, config: SandboxConfig, clock: Clock, secrets: SecretSource) -> None:
        self._config = config
        self._clock = clock
        self._secrets = secrets
        self._root = os.geteuid() == 0
        self._cgroups = Cgroups.find()
        self._program = find_bwrap(config.bwrap)
        self._made: Boxes | None = None

    # -- what it is --------------------------------------------------------------------------------------------------

    def describe(self) -> DriverInfo:
        """See the contract."""
        capabilities = _ALWAYS | self._cgroups.capabilities
        if self._root:
            capabilities |= {Capability.SEPARATE_MEMBERS}
        return DriverInfo(
            driver="sandbox",
            kind="sandbox",
            contract_version=CONTRACT_VERSION,
            capabilities=capabilities,
            fencing=FenceReach.EVERY_STEP,
            step_limit_s=_STEP_LIMIT_S,
            sentences=() if self._root else (_SAME_ACCOUNT,),
        )

    def check(self, depth: CheckDepth) -> Health | Pending:
        """See the contract. CANARY really starts a box that ends at once."""
        problems: list[Problem] = []
        if self._program is None:
            problems.append(Problem("no bubblewrap", "apt install bubblewrap"))
        elif depth is CheckDepth.CANARY:
            problems += self._try_box()
        now = self._clock.now()
        return Health(frozenset() if problems else self.describe().capabilities, tuple(problems), now)

    def _try_box(self) -> list[Problem]:
        argv = [str(self._program), "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent"]
        argv += ["--ro-bind", "/", "/", "--", "/bin/true"]
        try:
            demoted = {"user": 65534, "group": 65534, "extra_groups": []} if self._root else {}
            done = subprocess.run(argv, capture_output=True, timeout=10, check=False, cwd="/", **demoted)  # type: ignore[call-overload]  # identity by keywords
        except (OSError, subprocess.TimeoutExpired) as error:
            return [Problem(f"bubblewrap does not start: {error}", "apt install bubblewrap")]
        if done.returncode == 0:
            return []
        said = done.stderr.decode(errors="replace").strip().splitlines()
        hint = "sysctl -w kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0"
        return [Problem(f"a box does not start: {said[-1] if said else done.returncode}", hint)]

    @property
    def _boxes(self) -> Boxes:
        if self._made is None:
            if self._program is None:
                raise Permanent("no bubblewrap program: apt install bubblewrap")
            self._made = Boxes(self._config, self._program, self._cgroups, filter_bytes())
        return self._made

    def _folder(self, ref: WorkspaceRef) -> Folder:
        return Folder(self._config.root, self._config.credentials_root, ref)

    def footprint(self, desired: DesiredWorkspace, canary_slot: int) -> tuple[FootprintItem, ...]:
        """See the contract."""
        ref, folder = desired.ref, self._folder(desired.ref)

        def item(kind: FootprintKind, value: object) -> FootprintItem:
            return FootprintItem(ref.workspace, kind, str(value))

        items = [
            item(FootprintKind.MARK, ref.mark),
            item(FootprintKind.PATH, folder.path),
            item(FootprintKind.PATH, folder.credentials),
        ]
        items += [item(FootprintKind.CGROUP, p) for p in self._cgroups.paths(ref.far_name)]
        if self._root:
            slots = sorted({canary_slot, *(m.slot for m in desired.members)})
            items += [item(FootprintKind.UID, self._boxes.uid_of(s)) for s in slots]
        return tuple(items)

    # -- look --------------------------------------------------------------------------------------------------------

    def observe(self, refs: Collection[WorkspaceRef]) -> Mapping[WorkspaceRef, ObservedWorkspace]:
        """See the contract."""
        return {ref: self._observe(ref) for ref in refs}

    def _observe(self, ref: WorkspaceRef) -> ObservedWorkspace:
        folder = self._folder(ref)
        try:
            there = folder.marked()
        except (Permanent, OSError) as error:
            return ObservedWorkspace.unknown(ref, str(error))
        if not there:
            left = self._left_outside(folder)
            return left or ObservedWorkspace.absent(ref)
        return ObservedWorkspace(
            ref=ref,
            wall=_facet(lambda: self._wall(folder)),
            limits=_facet(lambda: self._limits(folder)),
            mounts=_facet(lambda: folder.read("mounts", MOUNTS) or ()),
            credentials=_facet(folder.held),
            people=_facet(lambda: folder.read("people", PEOPLE) or ()),
            sessions=_facet(lambda: self._sessions(folder)),
            storage=_facet(folder.storage_names),
        )

    def _left_outside(self, folder: Folder) -> ObservedWorkspace | None:
        """Half-made or half-removed things beside the folder: credentials, control groups."""
        absent = ObservedWorkspace.absent(folder.ref)
        credentials = _facet(folder.held)
        groups = tuple(str(p) for p in self._cgroups.paths(folder.ref.far_name) if p.exists())
        if not groups and credentials == Known(()):
            return None
        return replace(absent, credentials=credentials, limits=Known(Limits()) if groups else Known(None))

    def _wall(self, folder: Folder) -> WallSpec | None:
        wall: WallSpec | None = folder.read("wall", WALL)
        if wall is None:
            return None
        wanted = {str(a.kind) for a in wall.isolation.areas if a.kind is not AreaKind.HOME}
        return wall if wanted.issubset(folder.storage_names()) else None

    def _limits(self, folder: Folder) -> Limits | None:
        limits: Limits | None = folder.read("limits", LIMITS)
        if limits is None:
            return None
        return limits if self._cgroups.as_wanted(folder.ref.far_name, limits) else Limits()

    def _sessions(self, folder: Folder) -> tuple[LiveSession, ...]:
        live = [
            LiveSession(
                a["session"],
                a["slot"],
                datetime.fromtimestamp(a["ends_at"], UTC),
                MOUNTS.validate_python([Mount(**m) for m in a["mounts"]]),
            )
            for a in folder.session_files()
            if self._boxes.lives(a)
        ]
        known = {pid for a in folder.session_files() for pid in _pids(a)}
        strays = [p for p in self._cgroups.processes(folder.ref.far_name) if p not in known]
        if strays and not live:
            live.append(LiveSession(f"stray-{min(strays)}", -1, datetime.max.replace(tzinfo=UTC), ()))
        return tuple(sorted(live))

    def plan(self, desired: DesiredWorkspace | None, observed: ObservedWorkspace) -> tuple[Step, ...]:
        """See the contract: the ladder, as for every driver."""
        return ladder.plan(desired, observed)

    def inventory(self) -> Iterable[WorkspaceRef]:
        """See the contract."""
        if not self._config.root.is_dir():
            return ()
        found: list[WorkspaceRef] = []
        for entry in sorted(self._config.root.iterdir()):
            try:
                ref = REF.validate_json((entry / "marker.json").read_bytes())
            except (OSError, ValidationError):
                continue
            if entry.name == ref.far_name:
                found.append(ref)
        return tuple(found)

    # -- act ---------------------------------------------------------------------------------------------------------

    def perform(self, steps: Sequence[Step], fence: int) -> tuple[Outcome, ...]:
        """See the contract."""
        return tuple(self._one(step, fence) for step in steps)

    def _one(self, step: Step, fence: int) -> Outcome:
        acts: dict[tuple[Verb, Part], Callable[[Folder, Step], Outcome]] = {
            (Verb.ENSURE, Part.WALL): self._ensure_wall,
            (Verb.ENSURE, Part.LIMITS): self._ensure_limits,
            (Verb.ENSURE, Part.MOUNTS): self._ensure_mounts,
            (Verb.ENSURE, Part.CREDENTIALS): self._ensure_credentials,
            (Verb.ENSURE, Part.PEOPLE): self._ensure_people,
            (Verb.REMOVE, Part.PEOPLE): self._remove_people,
            (Verb.REMOVE, Part.SESSIONS): self._remove_sessions,
            (Verb.REMOVE, Part.CREDENTIALS): self._remove_credentials,
            (Verb.REMOVE, Part.MOUNTS): self._remove_mounts,
            (Verb.REMOVE, Part.LIMITS): self._remove_limits,
            (Verb.REMOVE, Part.STORAGE): self._remove_storage,
            (Verb.REMOVE, Part.WALL): self._remove_wall,
        }
        act = acts.get(step.kind)
        if act is None:
            return Failed(f"this backend cannot {step.verb} {step.part}", transient=False)
        folder = self._folder(step.ref)
        try:
            if step.kind == (Verb.ENSURE, Part.WALL):
                self._config.root.mkdir(mode=0o700, parents=True, exist_ok=True)
                folder.make()
            with folder.locked():
                if folder.marked():
                    folder.fence(fence)
                elif step.raises:
                    return Failed("the workspace's folder is not there", transient=True)
                return act(folder, step)
        except Transient as error:
            return Failed(error.reason, transient=True, retry_after_s=error.retry_after_s)
        except ContractError as error:
            return Failed(error.reason, transient=False)
        except (OSError, ValidationError) as error:
            return Failed(f"{step.verb} {step.part}: {type(error).__name__}: {error}", transient=True)

    def _ensure_wall(self, folder: Folder, step: Step) -> Outcome:
        wall = WALL.validate_python(step.value)
        for area in wall.isolation.areas:
            if area.kind is not AreaKind.HOME:
                path = folder.path / "storage" / area.kind
                path.mkdir(exist_ok=True)
                path.chmod(0o1777)
        folder.keep("wall", WALL, wall)
        return Done()

    def _ensure_limits(self, folder: Folder, step: Step) -> Outcome:
        limits = LIMITS.validate_python(step.value)
        self._cgroups.ensure(folder.ref.far_name, limits)
        folder.keep("limits", LIMITS, limits)
        return Done()

    def _ensure_mounts(self, folder: Folder, step: Step) -> Outcome:
        mounts: tuple[Mount, ...] = MOUNTS.validate_python(step.value)
        for mount in mounts:
            source = Path(mount.source)
            if not source.is_absolute() or source.is_symlink() or not source.is_dir():
                return Failed(f"the source of dataset {mount.name} is not a folder", transient=False)
        folder.keep("mounts", MOUNTS, mounts)
        return Done()

    def _ensure_credentials(self, folder: Folder, step: Step) -> Outcome:
        for held in CREDENTIALS.validate_python(step.value):
            secret = self._secrets.fetch(folder.ref, held)
            uid = self._boxes.uid_of(held.slot)
            path = folder.credentials / str(held.slot)
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.credentials.chmod(0o700)
            write(path / "token", secret.reveal().encode() + b"\n", mode=0o400)
            write(folder.credentials / f"{held.slot}" / "about.json", HELD.dump_json(held), mode=0o400)
            if self._root:
                for file in (path, path / "token", path / "about.json"):
                    os.chown(file, uid, uid)
                folder.credentials.chmod(0o711)
        return Done()

    def _ensure_people(self, folder: Folder, step: Step) -> Outcome:
        people: tuple[Admission, ...] = PEOPLE.validate_python(step.value)
        for admission in people:
            self._home(folder, admission.slot)
        folder.keep("people", PEOPLE, people)
        return Done()

    def _home(self, folder: Folder, slot: int) -> None:
        home = folder.path / "storage" / f"home-{slot}"
        home.mkdir(mode=0o700, exist_ok=True)
        if self._root:
            uid = self._boxes.uid_of(slot)
            os.chown(home, uid, uid)

    def _remove_people(self, folder: Folder, step: Step) -> Outcome:
        if not folder.marked():
            return Done()
        if step.value is None:
            folder.forget("people")
            return Done(("people",))
        gone = frozenset(SLOTS.validate_python(step.value))
        people: tuple[Admission, ...] = folder.read("people", PEOPLE) or ()
        folder.keep("people", PEOPLE, tuple(a for a in people if a.slot not in gone))
        return Done(tuple(f"people {slot}" for slot in sorted(gone)))

    def _remove_sessions(self, folder: Folder, step: Step) -> Outcome:
        if not folder.marked():
            return Done()
        files = folder.session_files()
        wanted = None if step.value is None else frozenset(NAMES.validate_python(step.value))
        ended = [a for a in files if wanted is None or a["session"] in wanted]
        for about in ended:
            self._boxes.end(folder, about)
        strays = wanted is None or any(w.startswith("stray-") for w in wanted)
        if strays:
            slots = frozenset(h.slot for h in folder.held()) | {a["slot"] for a in files}
            self._boxes.end_strays(folder, slots)
        return Done(tuple(f"session {a['session']}" for a in ended))

    def _remove_credentials(self, folder: Folder, step: Step) -> Outcome:
        slots = None if step.value is None else {str(s) for s in SLOTS.validate_python(step.value)}
        if not folder.credentials.is_dir():
            return Done()
        gone = [p for p in sorted(folder.credentials.iterdir()) if slots is None or p.name in slots]
        for path in gone:
            for secret in path.glob("token"):
                secret.chmod(0o600)
                secret.write_bytes(b"\0" * secret.stat().st_size)
            remove_tree(path)
        if not any(folder.credentials.iterdir()):
            folder.credentials.rmdir()
        return Done(tuple(f"credentials of slot {p.name}" for p in gone))

    def _remove_mounts(self, folder: Folder, step: Step) -> Outcome:
        if not folder.marked():
            return Done()
        mounts: tuple[Mount, ...] = folder.read("mounts", MOUNTS) or ()
        names = {m.name for m in mounts} if step.value is None else set(NAMES.validate_python(step.value))
        left = tuple(m for m in mounts if m.name not in names)
        if left:
            folder.keep("mounts", MOUNTS, left)
        else:
            folder.forget("mounts")
        return Done(tuple(f"mount {n}" for n in sorted(names)))

    def _remove_limits(self, folder: Folder, _step: Step) -> Outcome:
        removed = self._cgroups.remove(folder.ref.far_name)
        if folder.marked():
            folder.forget("limits")
        return Done(removed)

    def _remove_storage(self, folder: Folder, _step: Step) -> Outcome:
        if not folder.marked():
            return Done()
        removed: list[str] = []
        for name in folder.storage_names():
            count = remove_tree(folder.path / "storage" / name)
            removed.append(f"{name}/ with {count} entries")
        return Done(tuple(removed))

    def _remove_wall(self, folder: Folder, _step: Step) -> Outcome:
        if not folder.marked():
            return Done()
        if folder.storage_names() or self._sessions(folder):
            raise Refused("storage or sessions are still there")
        remove_tree(folder.sessions)
        remove_tree(folder.path / "storage")
        for file in sorted(folder.path.iterdir()):
            if file.name not in ("marker.json", "lock"):
                file.unlink()
        (folder.path / "lock").unlink(missing_ok=True)
        (folder.path / "marker.json").unlink()
        folder.path.rmdir()
        return Done((f"folder {folder.path.name}",))

    # -- sessions ----------------------------------------------------------------------------------------------------

    def attach(self, ref: WorkspaceRef, request: SessionRequest) -> Session | Pending:
        """See the contract. Admission is read, and the box started, under the lock that the lock-out takes."""
        folder = self._folder(ref)
        if isinstance(request.mode, Stream):
            raise Refused("this backend has no streams")
        with folder.locked():
            if not folder.marked():
                raise Refused("the workspace is not there")
            people: tuple[Admission, ...] = folder.read("people", PEOPLE) or ()
            admitted = next((a for a in people if a.slot == request.slot), None)
            wall: WallSpec | None = folder.read("wall", WALL)
            if admitted is None or wall is None:
                raise Refused("this account is not admitted")
            ends_at = min(request.ends_at, admitted.ends_at, wall.ends_at)
            if ends_at <= self._clock.now():
                raise Refused("the end has come")
            mounts: tuple[Mount, ...] = folder.read("mounts", MOUNTS) or ()
            self._forget_dead(folder)
            return self._boxes.launch(folder, Launch(replace(request, ends_at=ends_at), mounts))

    def _forget_dead(self, folder: Folder) -> None:
        for about in folder.session_files():
            if not self._boxes.lives(about):
                (folder.sessions / f"{about['session']}.json").unlink(missing_ok=True)

    # -- probes ------------------------------------------------------------------------------------------------------

    def probe(self, ref: WorkspaceRef, canary_slot: int, probes: ProbePlan) -> tuple[ProbeResult, ...] | Pending:
        """See the contract."""
        if probes.rung is Access.LOCKED:
            return self._knock(ref, canary_slot, probes)
        folder = self._folder(ref)
        if not folder.marked() or folder.read("wall", WALL) is None:
            raise Refused("there is no wall to probe")
        allowed = frozenset(self._config.allowed_targets)
        with probing.opened(probes) as listening:
            targets = (*listening.targets, *probes.targets)
            found = probing.controls(probes, targets, allowed)
            raw = self._canary(folder, canary_slot, probing.plan_json(probes, targets, sys.executable + "\0-canary-"))
        return probing.weigh(raw, found, self._clock.now())

    def _canary(self, folder: Folder, slot: int, plan: bytes) -> bytes:
        """Run the canary's program inside and return what it printed. Transient when it did not finish."""
        binds, program = probing.interpreter_binds()
        now = self._clock.now()
        request = SessionRequest(
            session=f"canary-{now.timestamp():.6f}",
            slot=slot,
            ends_at=now + timedelta(seconds=probing.CANARY_LIFE_S),
            idle_s=probing.CANARY_LIFE_S,
            mode=Command((program, "-I", "-S", probing.PROBE_FILE)),
        )
        with folder.locked():
            if not folder.marked() or folder.read("wall", WALL) is None:
                raise Refused("there is no wall to probe")
            self._home(folder, slot)
            mounts: tuple[Mount, ...] = folder.read("mounts", MOUNTS) or ()
            session = self._boxes.launch(folder, Launch(request, mounts, binds))
        return _finish(session, plan)

    def _knock(self, ref: WorkspaceRef, canary_slot: int, probes: ProbePlan) -> tuple[ProbeResult, ...]:
        """From outside, after a lock: logins, live streams, processes, mounts."""
        folder, now = self._folder(ref), self._clock.now()
        results: list[ProbeResult] = []

        def result(name: str, klass: ProbeClass, got_through: str | None) -> None:
            verdict = Verdict.SUCCEEDED if got_through else Verdict.REFUSED
            if klass in probes.classes:
                results.append(ProbeResult(name, klass, verdict, got_through or "refused", now))

        for slot in probes.slots or (canary_slot,):
            result(f"login of slot {slot}", ProbeClass.LOGIN, self._try_login(ref, slot))
        sessions = self._sessions(folder) if folder.marked() else ()
        result("a stream", ProbeClass.STREAM, f"session {sessions[0].session} lives" if sessions else None)
        slots = frozenset((*probes.slots, canary_slot))
        strays = self._boxes.strays(folder, slots)
        result("a process", ProbeClass.PROCESS, f"process {min(strays)} runs" if strays else None)
        mounts = probing.mounts_naming(folder.path)
        result("a mount", ProbeClass.RESIDUAL_MOUNT, f"mounted in process {mounts[0]}" if mounts else None)
        return tuple(results)

    def _try_login(self, ref: WorkspaceRef, slot: int) -> str | None:
        now = self._clock.now()
        request = SessionRequest(f"knock-{slot}", slot, now + timedelta(seconds=10), 10, Command(("/bin/true",)))
        try:
            session = self.attach(ref, request)
        except Refused:
            return None
        if not isinstance(session, Pending):
            session.close()
        return "a login was admitted"


def find_bwrap(configured: str | None) -> Path | None:
    """bubblewrap: as configured, else the system's, else the wheel's beside our interpreter."""
    beside = Path(sys.executable).with_name("bwrap")
    for candidate in (configured, shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin"), str(beside)):
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    return None


def _facet(read: Callable[[], V]) -> Known[V] | Unknown:
    try:
        return Known(read())
    except (OSError, ValueError, ContractError) as error:
        return Unknown(f"{type(error).__name__}: {error}"[:200].replace("\n", " "))


def _pids(about: Mapping[str, object]) -> set[int]:
    found: set[int] = set()
    for key in ("supervisor", "box"):
        identity = about.get(key)
        if isinstance(identity, list):
            found.add(int(identity[0]))
    return found


def _finish(session: Session, plan: bytes) -> bytes:
    """Send the plan, collect the output until the canary ends."""
    try:
        session.send(plan)
        session.send_eof()
        out, err = bytearray(), bytearray()
        while True:
            event = session.receive(probing.CANARY_LIFE_S)
            if isinstance(event, Output):
                (out if event.stream == 1 else err).extend(event.data)
            elif isinstance(event, Ended):
                break
            else:
                raise Transient("the canary did not finish in time")
    finally:
        session.close()
    if event.exit_status != 0:
        said = err.decode(errors="replace").strip().splitlines()
        raise Transient(f"the canary ended with {event.exit_status}: {said[-1] if said else event.reason}"[:300])
    return bytes(out)
