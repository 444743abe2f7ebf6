"""The V-rules on a permit that parsed: pure functions from permit and context to findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

from tre.model.decision import Finding
from tre.model.facts import TrustEntry
from tre.model.instants import add_months
from tre.model.permit import LegalStatus, Permit, PermitCondition, Person
from tre.policy.ends import end_of_day

if TYPE_CHECKING:
    from tre.policy.intake import IntakeContext

YEARS_MAX: Final = 10
"""EHDS Article 68(12)."""
RETENTION_MONTHS_MAX: Final = 6
CLOCK_TOLERANCE_S: Final = 60.0
CLOCK_UNCERTAINTY_MAX_S: Final = 30.0
PUBLIC_PURPOSES: Final = frozenset({"a", "b", "c"})
PUBLIC_SECTORS: Final = frozenset({"public", "union", "on_behalf"})
LOG_YEARS_MIN: Final = 1

ENFORCED_CONDITIONS: Final[Mapping[str, frozenset[str]]] = {
    "no-export": frozenset(),
    "no-import": frozenset(),
    "named-members-only": frozenset(),
    "max-session-hours": frozenset({"hours"}),
    "idle-minutes": frozenset({"minutes"}),
}
"""Codes that a machine rule enforces, with the names of their parameters."""


@dataclass(frozen=True, slots=True)
class RuleFinding:
    """A finding that refuses, or only warns."""

    rule: str
    field: str
    reason: str
    severity: Literal["refuse", "warn"] = "refuse"


@dataclass(frozen=True, slots=True)
class RuleContext:
    """What a rule sees."""

    permit: Permit
    entry: TrustEntry
    intake: IntakeContext


@dataclass(frozen=True, slots=True)
class Clip:
    """A permit with values clipped to the law (never widened), and a warning for each."""

    permit: Permit
    warnings: tuple[Finding, ...]


def clipped(permit: Permit) -> Clip:
    """V-09 and V-13: person windows inside the permit's, retention within six months of the end."""
    warnings: list[Finding] = []
    validity = permit.validity
    latest = add_months(validity.not_after, RETENTION_MONTHS_MAX)
    retention = min(max(validity.retention_until, validity.not_after), latest)
    if retention != validity.retention_until:
        warnings.append(Finding("V-13", "validity.retention_until", "clipped to [not_after, not_after + 6 months]"))
        validity = validity.model_copy(update={"retention_until": retention})
    persons = tuple(_clipped_person(p, permit, warnings) for p in permit.persons)
    if not warnings:
        return Clip(permit, ())
    return Clip(permit.model_copy(update={"validity": validity, "persons": persons}), tuple(warnings))


def _clipped_person(person: Person, permit: Permit, warnings: list[Finding]) -> Person:
    begin, end = permit.validity.not_before, permit.validity.not_after
    update: dict[str, datetime] = {}
    if person.valid_from and person.valid_from < begin:
        update["valid_from"] = begin
    if person.valid_until and person.valid_until > end:
        update["valid_until"] = end
    if not update:
        return person
    warnings.append(Finding("V-09", f"persons[{person.person_id}]", "window clipped to the permit's"))
    return person.model_copy(update=update)


def _v03(c: RuleContext) -> Iterator[RuleFinding]:
    if c.intake.seen_message is not None:
        yield RuleFinding("V-03", "message_id", "this message id was used before")
    last = max((v.version for v in c.intake.previous), default=0)
    if c.permit.version <= last:
        yield RuleFinding("V-03", "version", f"version {last} was accepted before; a new one is higher")
    elif c.permit.version > last + 1:
        yield RuleFinding("V-03", "version", f"versions {last + 1} to {c.permit.version - 1} were not received", "warn")
    if c.permit.permit_id in {v.permit_id for v in c.intake.previous}:
        yield RuleFinding("V-03", "permit_id", "each version has a permit id of its own")


def _v04(c: RuleContext) -> Iterator[RuleFinding]:
    v = c.permit.validity
    if not v.not_before < v.not_after:
        yield RuleFinding("V-04", "validity", "not_before must lie before not_after")
    elif v.not_after > add_months(v.not_before, 12 * YEARS_MAX):
        yield RuleFinding("V-04", "validity", f"longer than {YEARS_MAX} calendar years")
    longest = c.entry.longest_days
    if longest is not None and (v.not_after - v.not_before).days >= longest + 1:
        yield RuleFinding("V-04", "validity", f"longer than the {longest} days this issuer's key may grant")


def _v05(c: RuleContext) -> Iterator[RuleFinding]:
    if c.permit.legal_status is not LegalStatus.RENEWED:
        return
    if not c.intake.previous:
        yield RuleFinding("V-05", "legal_status", "a renewal needs an earlier version")
        return
    head = max(c.intake.previous, key=lambda v: v.version)
    if any(v.legal_status == LegalStatus.RENEWED for v in c.intake.previous):
        yield RuleFinding("V-05", "legal_status", "a permit is renewed at most once")
    if c.permit.validity.not_after > add_months(head.not_after, 12 * YEARS_MAX):
        yield RuleFinding("V-05", "validity.not_after", f"the extension is longer than {YEARS_MAX} years")
    if c.permit.decision.issued_at >= head.not_after or c.intake.now >= head.not_after:
        yield RuleFinding("V-05", "decision.issued_at", "the permit had ended: a new lineage is needed")


def _v06(c: RuleContext) -> Iterator[RuleFinding]:
    tolerance = CLOCK_TOLERANCE_S + c.intake.clock_uncertainty_s
    if (c.permit.decision.issued_at - c.intake.now).total_seconds() > tolerance:
        yield RuleFinding("V-06", "decision.issued_at", "lies in the future")


def _v02_key(c: RuleContext) -> Iterator[RuleFinding]:
    issued = c.permit.decision.issued_at
    if not c.entry.valid_from <= issued < c.entry.valid_until:
        yield RuleFinding("V-02", "decision.issued_at", "the key was not valid when this was issued")
    granted = {d.dataset_id for d in c.permit.datasets}
    beyond = sorted(granted - set(c.entry.datasets)) if c.entry.datasets else []
    if beyond:
        yield RuleFinding("V-02", "datasets", f"the key may not grant {beyond[0]}")


def _v07(c: RuleContext) -> Iterator[RuleFinding]:
    public = PUBLIC_PURPOSES.intersection(c.permit.purposes)
    sector = c.permit.holder.sector if c.permit.holder else None
    if public and sector not in PUBLIC_SECTORS:
        yield RuleFinding("V-07", "purposes", f"purpose {min(public)} is only for public, Union or mandated holders")


def _v08(c: RuleContext) -> Iterator[RuleFinding]:
    ids = [p.person_id for p in c.permit.persons]
    if not ids:
        yield RuleFinding("V-08", "persons", "nobody is named")
    if c.permit.principal_investigator not in ids:
        yield RuleFinding("V-08", "principal_investigator", "is not among the persons")
    if len(set(ids)) != len(ids):
        yield RuleFinding("V-08", "persons", "a person_id stands twice")
    accounts = [(i.iss, i.sub) for p in c.permit.persons for i in p.identities]
    if len(set(accounts)) != len(accounts):
        yield RuleFinding("V-08", "persons.identities", "an identity (iss, sub) stands twice")


def _v10(c: RuleContext) -> Iterator[RuleFinding]:
    ids = [d.dataset_id for d in c.permit.datasets]
    if len(set(ids)) != len(ids):
        yield RuleFinding("V-10", "datasets", "a dataset_id stands twice")
    for dataset in c.permit.datasets:
        if not dataset.specification.variables:
            yield RuleFinding("V-10", f"datasets[{dataset.dataset_id}].specification", "names no variables")


def _v11(c: RuleContext) -> Iterator[RuleFinding]:
    if all(d.form == "anonymised" for d in c.permit.datasets):
        return
    basis = c.permit.legal_basis
    if basis is None or not (basis.gdpr6 or basis.gdpr9 or basis.national):
        yield RuleFinding("V-11", "legal_basis", "pseudonymised data needs a legal basis")
    if c.permit.linkage is None or c.permit.linkage.keys_by == "holder":
        yield RuleFinding("V-11", "linkage.keys_by", "the re-identification key stays with the HDAB or a third party")


def _v15(c: RuleContext) -> Iterator[RuleFinding]:
    spe, here = c.permit.spe, c.intake.installation
    if spe is None:
        yield RuleFinding("V-15", "spe", "no secure processing environment is named")
        return
    if (spe.provider, spe.service_id) != (here.provider, here.service_id):
        yield RuleFinding("V-15", "spe", "names another secure processing environment")
    for until in (spe.certificate_until, here.certificate_until):
        if until is not None and end_of_day(until) <= c.intake.now:
            yield RuleFinding("V-15", "spe.certificate_until", "the environment's certificate has lapsed")


def _v17(c: RuleContext) -> Iterator[RuleFinding]:
    for condition in c.permit.conditions:
        if condition.enforceable and not enforced(condition):
            field = f"conditions[{condition.code}]"
            yield RuleFinding("V-17", field, "no rule enforces this condition with these parameters")


def enforced(condition: PermitCondition) -> bool:
    """Whether a machine rule knows the condition and its parameters."""
    wanted = ENFORCED_CONDITIONS.get(condition.code)
    params = condition.params or {}
    whole = all(type(v) is int and v > 0 for v in params.values())
    return wanted is not None and wanted == params.keys() and whole


def _v19(c: RuleContext) -> Iterator[RuleFinding]:
    old, new = c.intake.previous_permit, c.permit
    if old is None:
        return
    if new.legal_status is LegalStatus.GRANTED:
        yield RuleFinding("V-19", "legal_status", "a later version is AMENDED or RENEWED")
    for field, before, after in (
        ("datasets", {d.dataset_id for d in old.datasets}, {d.dataset_id for d in new.datasets}),
        ("purposes", set(old.purposes), set(new.purposes)),
        ("controllers", {x.name for x in old.controllers}, {x.name for x in new.controllers}),
    ):
        if after - before:
            yield RuleFinding("V-19", field, f"adds {min(after - before)}: a new permit is needed")
    if new.linkage and new.linkage.allowed and not (old.linkage and old.linkage.allowed):
        yield RuleFinding("V-19", "linkage", "allows linkage: a new permit is needed")
    longer = new.validity.not_after > old.validity.not_after
    if longer and new.legal_status is not LegalStatus.RENEWED:
        yield RuleFinding("V-19", "validity.not_after", "only a renewal lengthens a permit")


def _v20(c: RuleContext) -> Iterator[RuleFinding]:
    if c.intake.final:
        yield RuleFinding("V-20", "lineage_id", f"the permit is {c.intake.final}: a new lineage is needed")


def _v27(c: RuleContext) -> Iterator[RuleFinding]:
    for dataset in c.permit.datasets:
        if dataset.dataset_id not in c.intake.catalogue:
            yield RuleFinding("V-27", f"datasets[{dataset.dataset_id}]", "is not in the catalogue", "warn")


def _v31(c: RuleContext) -> Iterator[RuleFinding]:
    if c.intake.clock_uncertainty_s > CLOCK_UNCERTAINTY_MAX_S:
        yield RuleFinding("V-31", "validity", "our clock is uncertain: nothing is activated or renewed now")


def _v32(c: RuleContext) -> Iterator[RuleFinding]:
    stated = c.permit.decision.document_sha256
    fetched = c.intake.fetched_documents.get(c.permit.permit_id)
    if stated and fetched and stated != fetched:
        yield RuleFinding("V-32", "decision.document_sha256", "the fetched decision document has another digest")


def _v34(c: RuleContext) -> Iterator[RuleFinding]:
    if c.permit.logging and c.permit.logging.access_years < LOG_YEARS_MIN:
        yield RuleFinding("V-34", "logging.access_years", "access logs are kept at least one year")


Rule = Callable[[RuleContext], Iterator[RuleFinding]]

RULES: Final[tuple[Rule, ...]] = (
    _v02_key, _v03, _v04, _v05, _v06, _v07, _v08, _v10, _v11, _v15, _v17, _v19, _v20, _v27, _v31, _v32, _v34,
)  # fmt: skip
