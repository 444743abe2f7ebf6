"""The far side of the sandbox: one folder a workspace, its files, its lock, its marker.

Every change is made under the folder's lock and lands whole. A folder under our name without our marker is a
stranger, and never touched.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from tre.contracts.errors import Permanent, Refused, Transient
from tre.model.observed import Admission, HeldCredential
from tre.model.workspace import Limits, Mount, WallSpec, WorkspaceRef

_LOCK_S: Final = 10.0

WALL: Final = TypeAdapter(WallSpec)
LIMITS: Final = TypeAdapter(Limits)
MOUNTS: Final = TypeAdapter(tuple[Mount, ...])
PEOPLE: Final = TypeAdapter(tuple[Admission, ...])
HELD: Final = TypeAdapter(HeldCredential)
CREDENTIALS: Final = TypeAdapter(tuple[HeldCredential, ...])
SLOTS: Final = TypeAdapter(tuple[int, ...])
NAMES: Final = TypeAdapter(tuple[str, ...])
REF: Final = TypeAdapter(WorkspaceRef)
MARKER: Final = "marker.json"


class Folder:
    """The far-side files of one workspace."""

    def __init__(self, root: Path, credentials_root: Path, ref: WorkspaceRef) -> None:
        self.ref = ref
        self.path = root / ref.far_name
        self.credentials = credentials_root / ref.far_name
        self.sessions = self.path / "sessions"

    # -- marker and lock ---------------------------------------------------------------------------------------------

    def marked(self) -> bool:
        """Whether the folder is there and ours. Permanent when a stranger has its name."""
        if not self.path.exists() and not self.path.is_symlink():
            return False
        found = self._marker()
        if found != self.ref:
            theirs = "no marker" if found is None else f"the marker of {found.mark}"
            raise Permanent(f"{self.path} has {theirs}, not {self.ref.mark}")
        return True

    def _marker(self) -> WorkspaceRef | None:
        try:
            if self.path.is_symlink():
                return None
            return REF.validate_json((self.path / MARKER).read_bytes())
        except (OSError, ValidationError):
            return None

    def make(self) -> None:
        """Make the folder with its marker in one rename, so that it is never there without. Idempotent."""
        if self.marked():
            return
        staging = self.path.with_name(f".{self.path.name}.new")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o700)
        write(staging / MARKER, REF.dump_json(self.ref))
        (staging / "lock").touch(mode=0o600)
        (staging / "sessions").mkdir(mode=0o700)
        (staging / "storage").mkdir(mode=0o700)
        staging.rename(self.path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock. Transient after ten seconds; nothing is made for an absent folder."""
        if not self.marked():
            yield
            return
        with (self.path / "lock").open("ab") as lock:
            _take(lock.fileno())
            yield

    def fence(self, fence: int) -> None:
        """Keep the highest fence; Refused for a lower one (D25). Call under the lock."""
        file = self.path / "fence"
        highest = int(file.read_text("ascii")) if file.exists() else 0
        if fence < highest:
            raise Refused(f"fence {fence} is lower than {highest}: another controller leads")
        if fence > highest:
            write(file, str(fence).encode())

    # -- facts -------------------------------------------------------------------------------------------------------

    def read(self, name: str, adapter: TypeAdapter[Any]) -> Any:
        """A fact's value; None when it is absent. OSError or ValidationError when it cannot be read."""
        file = self.path / f"{name}.json"
        return adapter.validate_json(file.read_bytes()) if file.exists() else None

    def keep(self, name: str, adapter: TypeAdapter[Any], value: Any) -> None:
        """Write a fact, whole."""
        write(self.path / f"{name}.json", adapter.dump_json(value))

    def forget(self, name: str) -> None:
        """Remove a fact. Idempotent."""
        (self.path / f"{name}.json").unlink(missing_ok=True)

    def held(self) -> tuple[HeldCredential, ...]:
        """The delivered credentials."""
        if not self.credentials.is_dir():
            return ()
        return tuple(sorted(HELD.validate_json(f.read_bytes()) for f in self.credentials.glob("*/about.json")))

    def storage_names(self) -> tuple[str, ...]:
        """Every storage folder that exists."""
        storage = self.path / "storage"
        return tuple(sorted(p.name for p in storage.iterdir())) if storage.is_dir() else ()

    def session_files(self) -> tuple[dict[str, Any], ...]:
        """Every session file, of live and dead sessions."""
        if not self.sessions.is_dir():
            return ()
        return tuple(json.loads(f.read_bytes()) for f in sorted(self.sessions.glob("*.json")))


def _take(descriptor: int) -> None:
    """Wait for the lock with a limit: a stuck holder must not hang a lock-out for ever."""
    import time

    limit = time.monotonic() + _LOCK_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > limit:
                raise Transient("the workspace's folder is locked by somebody else", retry_after_s=1.0) from None
            time.sleep(0.005)
        else:
            return


def write(file: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file whole: new file, fsync, rename."""
    temporary = file.with_name(f".{file.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    try:
        os.fchmod(descriptor, mode)
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.rename(file)


def remove_tree(path: Path) -> int:
    """Remove a tree without following links, whatever its modes; how many entries went. Idempotent."""
    count = 0
    for folder, names, files in os.walk(path, followlinks=False):
        count += len(names) + len(files)
        for name in names:
            inner = Path(folder) / name
            if not inner.is_symlink():
                inner.chmod(0o700)  # a folder its owner may not enter is removed all the same
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        if not shutil.rmtree.avoids_symlink_attacks:
            raise Permanent("this Python cannot remove trees safely")
        shutil.rmtree(path)
    return count


def instant(stamp: float) -> datetime:
    """An aware UTC instant from seconds since the epoch."""
    from datetime import UTC

    return datetime.fromtimestamp(stamp, UTC)
