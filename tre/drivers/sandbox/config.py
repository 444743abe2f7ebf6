"""What an operator decides about a sandbox backend."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
DEFAULT_ETC = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime")


class SandboxConfig(BaseModel):
    """One sandbox backend. As root each member gets the uid ``uid_base + slot``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path
    """Folder for workspaces, 0700."""
    credentials_root: Path
    """Folder for delivered credentials, on memory."""
    system_paths: tuple[str, ...] = DEFAULT_SYSTEM
    """The read-only system inside: host paths that are bound, or repeated where they are links."""
    etc_paths: tuple[str, ...] = DEFAULT_ETC
    uid_base: Annotated[int, Field(ge=100_000, le=4_000_000_000)] = 2_000_000_000
    uid_count: Annotated[int, Field(ge=1, le=100_000_000)] = 1_000_000
    bwrap: str | None = None
    allowed_targets: tuple[str, ...] = ()
    """Addresses, besides loopback, that a probe's positive control may contact from outside."""
    shell: str = "/bin/bash"


def default_credentials_root() -> Path:
    """A folder on memory that only we can enter."""
    if os.geteuid() == 0:
        return Path("/run/tre/credentials")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "tre" if runtime and Path(runtime).is_dir() else Path(f"/dev/shm/tre-{os.getuid()}")  # noqa: S108  # 0700, made by us, owner checked


def parse(table: Mapping[str, object], default_root: Path) -> SandboxConfig:
    """Read a backend's table. ValidationError for anything unknown."""
    given = {"root": default_root, "credentials_root": default_credentials_root(), **table}
    return SandboxConfig.model_validate(given)
