"""The policy bundle: profiles, CEL rules and playbooks, read once and named by the digest of every file."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tre.model.canonical import digest_of, sha256_hex
from tre.model.decision import Decision, Finding
from tre.model.permit import Permit
from tre.model.probe import ProbeClass
from tre.model.workspace import Access, Area, AreaKind, Capability, Limits, SessionRules

_GIB: Final = 1 << 30


class BundleInvalid(Exception):
    """The bundle cannot be read as one: nothing is granted under it."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Session(_Strict):
    idle_s: Annotated[int, Field(ge=1)]
    longest_s: Annotated[int, Field(ge=1)]
    command_allowed: bool
    stream_allowed: bool
    bytes_out_max: Annotated[int, Field(ge=1)] | None = None
    bytes_in_max: Annotated[int, Field(ge=1)] | None = None


class _Limits(_Strict):
    cpus: Annotated[int, Field(ge=1)] | None = None
    memory_gib: Annotated[int, Field(ge=1)] | None = None
    processes: Annotated[int, Field(ge=1)] | None = None
    storage_gib: Annotated[int, Field(ge=1)] | None = None


class _Area(_Strict):
    kind: AreaKind
    quota_gib: Annotated[int, Field(ge=1)] | None = None


class _Probes(_Strict):
    walled: frozenset[ProbeClass]
    mounted: frozenset[ProbeClass]
    locked: Annotated[frozenset[ProbeClass], Field(min_length=1)]


class _ProfileFile(_Strict):
    real_data: bool
    hold_days: Annotated[int, Field(ge=0, le=181)]
    probe_age_s: Annotated[int, Field(ge=1)]
    dataset_verify_age_s: Annotated[int, Field(ge=1)]
    credential_ttl_s: Annotated[int, Field(ge=1)]
    static_secrets: bool
    demanded: frozenset[Capability]
    session: _Session
    limits: _Limits
    area: tuple[_Area, ...]
    probes: _Probes


class _Rule(_Strict):
    id: Annotated[str, Field(pattern=r"\ASPE-[A-Z0-9]{3}-[0-9]{2}\z")]
    field: str
    reason: str
    when: str


class _Rules(_Strict):
    rule: tuple[_Rule, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """What an operator's policy demands of every workspace of a kind."""

    name: str
    file: _ProfileFile

    @property
    def demanded(self) -> frozenset[Capability]:
        """Capabilities the backend must have, now and throughout."""
        return self.file.demanded

    @property
    def real_data(self) -> bool:
        """Whether real personal data may be used under it."""
        return self.file.real_data

    @property
    def hold_days(self) -> int:
        """Days between the end and the purge (SPE-TDN-02)."""
        return self.file.hold_days

    @property
    def probe_age_s(self) -> int:
        """How long a proof lasts."""
        return self.file.probe_age_s

    @property
    def dataset_verify_age_s(self) -> int:
        """How long a full hash of a dataset counts, while its fingerprint is unchanged."""
        return self.file.dataset_verify_age_s

    @property
    def credential_ttl_s(self) -> int:
        """The longest life of a delivered credential (SPE-CRD-02)."""
        return self.file.credential_ttl_s

    @property
    def static_secrets(self) -> bool:
        """Whether secrets declared static may be delivered."""
        return self.file.static_secrets

    @property
    def required_probes(self) -> Mapping[Access, frozenset[ProbeClass]]:
        """Probe classes that must be refused: before data, before people, after a lock."""
        probes = self.file.probes
        return {Access.WALLED: probes.walled, Access.MOUNTED: probes.mounted, Access.LOCKED: probes.locked}

    @property
    def areas(self) -> tuple[Area, ...]:
        """The writable areas."""
        return tuple(sorted(Area(a.kind, a.quota_gib * _GIB if a.quota_gib else None) for a in self.file.area))

    def session_rules(self, permit: Permit) -> SessionRules:
        """The profile's session rules, narrowed by the permit's gateway and conditions."""
        s = self.file.session
        idle, longest = [s.idle_s], [s.longest_s]
        if permit.gateway and permit.gateway.idle_minutes:
            idle.append(permit.gateway.idle_minutes * 60)
        if permit.gateway and permit.gateway.session_max_hours:
            longest.append(permit.gateway.session_max_hours * 3600)
        for condition in permit.conditions:
            params = condition.params or {}
            if condition.code == "idle-minutes":
                idle.append(int(params["minutes"]) * 60)
            if condition.code == "max-session-hours":
                longest.append(int(params["hours"]) * 3600)
        return SessionRules(
            min(idle), min(longest), s.command_allowed, s.stream_allowed, s.bytes_out_max, s.bytes_in_max
        )

    def limits(self, permit: Permit) -> Limits:
        """The permit's limits; the profile's where the permit sets none."""
        own, asked = self.file.limits, permit.resources
        memory = (asked and asked.memory_gib) or own.memory_gib
        storage = (asked and asked.storage_gib) or own.storage_gib
        return Limits(
            cpus=(asked and asked.cpu) or own.cpus,
            memory_bytes=memory * _GIB if memory else None,
            processes=own.processes,
            storage_bytes=storage * _GIB if storage else None,
            gpus=asked.gpu.count if asked and asked.gpu else None,
        )


class _Compiled:
    """A rule, compiled when it is first asked: most commands ask none."""

    def __init__(self, rule: _Rule) -> None:
        self.rule = rule

    @cached_property
    def program(self) -> Any:
        """The compiled expression. ValueError when it is none."""
        import cel

        return cel.compile(self.rule.when)


@dataclass(frozen=True, slots=True)
class Bundle:
    """Everything the operator decided in advance."""

    digest: str
    profiles: Mapping[str, Profile]
    rules: tuple[_Compiled, ...]

    @property
    def rule_ids(self) -> tuple[str, ...]:
        """Ids of the rules, in order."""
        return tuple(c.rule.id for c in self.rules)

    def compile(self) -> None:
        """Compile every rule. BundleInvalid names the first that does not: before a bundle is put in force."""
        for compiled in self.rules:
            try:
                _ = compiled.program
            except ValueError as error:
                raise BundleInvalid(f"{compiled.rule.id} does not compile: {error}") from error

    def decide(self, facts: Mapping[str, Any], pending: tuple[Finding, ...] = ()) -> Decision:
        """Evaluate every rule over `facts`. Allowed only if each is exactly true; a rule that fails denies."""
        reasons = tuple(
            Finding(c.rule.id, c.rule.field, why) for c in self.rules if (why := _denial(c, facts)) is not None
        )
        obligations = self.rule_ids if not reasons else ()
        return Decision(not reasons, reasons, obligations, self.digest, pending)


def _denial(compiled: _Compiled, facts: Mapping[str, Any]) -> str | None:
    try:
        outcome = compiled.program.execute(dict(facts))
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        return f"{compiled.rule.reason} (the rule could not be evaluated: {type(error).__name__})"
    return None if outcome is True else compiled.rule.reason


def default_directory() -> Path:
    """Where the shipped bundle lies: inside the package in a wheel, beside it in a checkout."""
    packaged = Path(str(resources.files("tre") / "policies"))
    return packaged if packaged.is_dir() else Path(str(resources.files("tre"))).parent / "policies"


def load_bundle(directory: Path) -> Bundle:
    """Read a bundle. BundleInvalid when a file is missing, unknown, or malformed.

    Rules compile when they are first asked.
    """
    files = sorted(p for p in directory.rglob("*") if p.is_file())
    names = {str(p.relative_to(directory)): sha256_hex(p.read_bytes()) for p in files}
    try:
        rules = _Rules.model_validate(tomllib.loads((directory / "rules.toml").read_text("utf-8")))
        profiles = {
            p.stem: Profile(p.stem, _ProfileFile.model_validate(tomllib.loads(p.read_text("utf-8"))))
            for p in files
            if p.parent.name == "profiles" and p.suffix == ".toml"
        }
        compiled = tuple(_Compiled(r) for r in rules.rule)
    except (OSError, ValueError, ValidationError) as error:
        raise BundleInvalid(f"the policy bundle in {directory} is not valid: {error}") from error
    if len({c.rule.id for c in compiled}) != len(compiled) or not profiles:
        raise BundleInvalid(f"the policy bundle in {directory} repeats a rule id or has no profile")
    return Bundle(digest_of(names), profiles, compiled)
