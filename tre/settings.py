"""One frozen settings object, read once, from one file; never from the working directory."""

import os
import stat
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tre.model.names import checked


class SettingsInvalid(Exception):
    """The configuration cannot be used; the message names the file and the field."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Spe(_Strict):
    """What this environment is called in permits (V-15)."""

    provider: str = "local"
    service_id: str = "local-spe"
    certificate_until: date | None = None


class BackendSettings(BaseModel):
    """One configured backend; everything but `driver` and `profile` is the driver's own."""

    model_config = ConfigDict(frozen=True, extra="allow")

    driver: str
    profile: str = "local"

    @property
    def table(self) -> Mapping[str, Any]:
        """The driver's own settings."""
        return dict(self.model_extra or {})


class VaultSettings(_Strict):
    """A local vault in the state folder."""

    program: str | None = None
    shares: Annotated[int, Field(ge=1, le=10)] = 1
    threshold: Annotated[int, Field(ge=1, le=10)] = 1


class IntervalSettings(_Strict):
    """Seconds."""

    sweep_s: Annotated[float, Field(gt=0, le=3600)] = 300.0
    retry_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    probe_retry_s: Annotated[float, Field(gt=0, le=600)] = 10.0
    checkpoint_s: Annotated[float, Field(gt=0)] = 3600.0


class TargetSettings(_Strict):
    """An address that the wall must keep out of reach."""

    probe_class: str
    address: str
    port: Annotated[int, Field(ge=0, le=65535)] = 0


class Settings(_Strict):
    """Everything an operator decides."""

    home: Path
    spe: Spe = Spe()
    backends: dict[str, BackendSettings] = Field(default_factory=lambda: {"local": BackendSettings(driver="sandbox")})
    environment: str = "host"
    vault: VaultSettings = VaultSettings()
    intervals: IntervalSettings = IntervalSettings()
    probe_targets: tuple[TargetSettings, ...] = ()
    residue_uid: Annotated[int, Field(ge=1000, le=4_000_000_000)] = 1_999_999_999
    policies: Path | None = None

    @property
    def database(self) -> Path:
        """The store's file."""
        return self.home / "store" / "tre.db"

    @property
    def outside_log(self) -> Path:
        """The log outside the store."""
        return self.home / "outside" / "log"

    @property
    def checkpoints(self) -> Path:
        """The checkpoints outside the store."""
        return self.home / "outside" / "checkpoints"


def default_home() -> Path:
    """``TRE_HOME``, else the XDG state folder."""
    given = os.environ.get("TRE_HOME")
    return Path(given).absolute() if given else Path(platformdirs.user_state_dir("tre"))


def load(home: Path | None = None) -> Settings:
    """Read ``config.toml`` of the state folder, or the defaults where there is none.

    SettingsInvalid for unknown or wrong fields, and for a file that somebody else could write.
    """
    home = home or default_home()
    file = home / "config.toml"
    table: dict[str, Any] = {}
    if file.exists():
        _check_owner(file)
        _check_owner(home)
        try:
            table = tomllib.loads(file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise SettingsInvalid(f"{file}: {error}") from error
    try:
        settings = Settings.model_validate({"home": home, **table})
        for name in settings.backends:
            checked(name, "backend name")
    except (ValidationError, ValueError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        where = ".".join(str(p) for p in first["loc"]) if first else ""
        raise SettingsInvalid(f"{file}: {where}: {first['msg'] if first else error}") from error
    return settings


def _check_owner(path: Path) -> None:
    """Configuration decides what runs as us: nobody else may write it."""
    seen = path.stat()
    if seen.st_uid not in (0, os.geteuid()):
        raise SettingsInvalid(f"{path} belongs to uid {seen.st_uid}")
    if seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SettingsInvalid(f"{path} can be written by others: chmod go-w {path}")
