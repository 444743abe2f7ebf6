"""The permit as its issuer writes it: strict, frozen models of the payload (`permit-model.md` 6.2).

Unknown fields are refused. Fields that are ours (operational_state, provenance, enforcement, extraction, digests)
are unknown here, so that nobody can send them.
"""

import re
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from tre.model.instants import parse_instant

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
_URL = re.compile(r"https://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?")
_URN = re.compile(r"urn:[a-z0-9][a-z0-9-]{1,31}:[A-Za-z0-9._~!$&'()*+,;=:@%/-]+")
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _plain(text: str) -> str:
    """V-33: no control, line-separator or direction-changing characters."""
    if _CONTROL.search(text):
        raise ValueError("V-33: control or direction-changing characters are not allowed")
    return text


def _url(text: str) -> str:
    if not _URL.fullmatch(text) and not _URN.fullmatch(text):
        raise ValueError("not an absolute https URL or a URN")
    return text


def _token(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise ValueError(
            "not an identifier: ASCII letters, digits and ._:@/- up to 128, beginning with a letter or digit"
        )
    return text


def _instant(value: object) -> object:
    return parse_instant(value) if isinstance(value, str) else _no_instant(value)


def _no_instant(value: object) -> object:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    raise ValueError("not a UTC instant YYYY-MM-DDTHH:MM:SSZ")


def _date(value: object) -> object:
    if isinstance(value, str) and _DATE.fullmatch(value):
        return date.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise ValueError("not a date YYYY-MM-DD")


Text = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_plain)]
Short = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain)]
Token = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_token)]
KeyId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{8,128}$")]
"""A key id is a thumbprint (RFC 7638), which may begin with a hyphen."""
Url = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_url)]
Country = Annotated[str, Field(pattern=r"\A[A-Z]{2}\z")]
Sha256 = Annotated[str, Field(pattern=r"\A[0-9a-f]{64}\z")]
Instant = Annotated[datetime, BeforeValidator(_instant)]
Day = Annotated[date, BeforeValidator(_date)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Amount = Annotated[str, Field(pattern=r"\A[0-9]{1,12}(\.[0-9]{1,2})?\z")]


class Part(BaseModel):
    """Base of all parts: strict, frozen, nothing unknown."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class BackendKind(StrEnum):
    """Kinds of backend a permit may name."""

    SANDBOX = "sandbox"
    K8S = "k8s"
    SLURM = "slurm"
    OPENSTACK = "openstack"


class Issuer(Part):
    """Who issued the permit, and the key that signed this version."""

    name: Short
    country: Country
    id: Url
    signing_key_id: KeyId


class SignatureRef(Part):
    """The signature on the decision document, kept as given."""

    type: Short
    value: Annotated[str, Field(max_length=4096), AfterValidator(_plain)]


class Decision(Part):
    """The issuer's decision."""

    outcome: Literal["GRANTED", "PARTIAL"]
    issued_at: Instant
    document_sha256: Sha256 | None = None
    signature: SignatureRef | None = None
    justification_ref: Url | None = None
    redress_ref: Url | None = None
    mutual_recognition_ref: Short | None = None


class Holder(Part):
    """Who holds the permit. The sector decides over purposes (V-07)."""

    type: Literal["natural", "legal"] | None = None
    name: Short | None = None
    identifier: Short | None = None
    sector: Literal["public", "union", "private", "on_behalf"] | None = None
    representative: Short | None = None


class Controller(Part):
    """A data controller: the addressee of the breach clock."""

    name: Short
    role: Literal["sole", "joint"]
    contact: Short
    dpo_contact: Short | None = None


class Identity(Part):
    """An account of a person at an identity provider."""

    iss: Url
    sub: Token
    email: Short | None = None


class Person(Part):
    """A permitted natural person."""

    person_id: Token
    identities: Annotated[tuple[Identity, ...], Field(min_length=1, max_length=20, strict=False)]
    name: Short | None = None
    affiliation: Short | None = None
    country: Country | None = None
    role: Literal["pi", "analyst", "reviewer", "data_manager"] | None = None
    valid_from: Instant | None = None
    valid_until: Instant | None = None
    assurance_min: Short | None = None
    training_valid_until: Day | None = None
    terms_accepted_at: Instant | None = None


class LegalBasis(Part):
    """Legal basis of the processing; required when data is pseudonymised (V-11)."""

    gdpr6: Short | None = None
    gdpr9: Short | None = None
    national: Short | None = None


class Source(Part):
    """Where a dataset comes from."""

    holder_name: Short
    holder_id: Short
    trusted_holder: bool
    country: Country


class Specification(Part):
    """What of the dataset is permitted."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", populate_by_name=True)

    variables: Annotated[tuple[Short, ...], Field(max_length=10_000, strict=False)]
    cohort: Text
    from_: Annotated[Day | None, Field(alias="from")] = None
    to: Day | None = None
    geography: Annotated[tuple[Short, ...], Field(max_length=500, strict=False)]
    row_estimate: Annotated[int, Field(ge=0)] | None = None


class OptOut(Part):
    """Whether an exception from the opt-out was applied."""

    applied: bool
    reason: Text
    national_basis: Short


class ProtectedIp(Part):
    """Trade secrets or other protected rights in the data."""

    applies: bool
    measures: Text


class DatasetGrant(Part):
    """What the permit allows of one dataset."""

    dataset_id: Url
    distribution_id: Url | None = None
    catalogue_id: Url | None = None
    category: Short
    source: Source
    specification: Specification
    format: Short
    form: Literal["pseudonymised", "anonymised"]
    opt_out_exception: OptOut | None = None
    protected_ip: ProtectedIp | None = None
    access_mode: Literal["read_only"]
    visa_value: Url | None = None


class UserDataset(Part):
    """Data that members may import."""

    description: Text
    format: Short
    form: Short
    import_sha256: Sha256 | None = None


class Linkage(Part):
    """Whether datasets may be linked, and who keeps the keys."""

    allowed: bool
    keys_by: Literal["hdab", "holder", "ttp"]
    groups: Annotated[tuple[Short, ...], Field(strict=False)] = ()


class CrossBorder(Part):
    """Combination across borders."""

    combined: bool
    countries: Annotated[tuple[Country, ...], Field(strict=False)] = ()
    approvals: Annotated[tuple[Short, ...], Field(strict=False)] = ()


class Validity(Part):
    """``[not_before, not_after)``, the retention and the count of extensions."""

    not_before: Instant
    not_after: Instant
    retention_until: Instant
    extension_count: Annotated[int, Field(ge=0, le=1)]


class Spe(Part):
    """The secure processing environment the permit names."""

    provider: Short
    service_id: Token
    backends: Annotated[tuple[Annotated[BackendKind, Field(strict=False)], ...], Field(min_length=1, strict=False)]
    tier: Token | None = None
    certificate_ref: Short | None = None
    certificate_until: Day | None = None


class Gpu(Part):
    """Accelerators."""

    type: Short
    count: Count


class Tool(Part):
    """An approved tool."""

    name: Short
    version: Short
    digest: Sha256 | None = None


class Resources(Part):
    """Upper bounds and tools."""

    cpu: Count | None = None
    memory_gib: Count | None = None
    gpu: Gpu | None = None
    storage_gib: Count | None = None
    node_hours: Count | None = None
    tools: Annotated[tuple[Tool, ...], Field(strict=False)] = ()
    reduced_capability_storage: bool | None = None


class Outputs(Part):
    """What may leave, after a check."""

    anonymous_only: Literal[True]
    planned: Annotated[tuple[Short, ...], Field(strict=False)] = ()
    types: Annotated[tuple[Short, ...], Field(strict=False)] = ()
    models_allowed: bool = False
    model_plan_ref: Short | None = None
    checker: Literal["hdab", "delegate", "holder"] | None = None
    second_checker: bool = False


class Gateway(Part):
    """What a session may do."""

    clipboard_in: bool = False
    clipboard_out: Literal[False] = False
    file_transfer: Literal[False] = False
    network_origin: Annotated[tuple[Short, ...], Field(strict=False)] = ()
    idle_minutes: Annotated[int, Field(ge=1, le=1440)] | None = None
    session_max_hours: Annotated[int, Field(ge=1, le=168)] | None = None


class PermitCondition(Part):
    """A specific condition: bound to a machine rule, or signed off by a named human (V-17)."""

    code: Token
    text: Text
    enforceable: bool
    params: dict[Short, str | int | bool] | None = None
    signed_off_by: Short | None = None


class Ethics(Part):
    """An ethics approval."""

    ref: Short
    valid_until: Day | None = None


class Fee(Part):
    """A fee and its status."""

    kind: Literal["application", "preparation", "spe_setup", "spe_use", "cold_storage", "holder"]
    amount: Amount
    currency: Annotated[str, Field(pattern=r"\A[A-Z]{3}\z")]
    status: Short


class Formula(Part):
    """Whether the dataset formula is kept."""

    retain: bool
    ref: Short | None = None


class Agreement(Part):
    """An agreement that must be in force."""

    type: Literal["dpa", "terms", "holder"]
    ref: Short
    valid_until: Day


class Amendment(Part):
    """A change of an earlier version, as the issuer tells it."""

    at: Instant
    by: Short
    kind: Short
    diff_digest: Sha256
    reason: Text


class Logging(Part):
    """How long logs are kept."""

    access_years: Annotated[int, Field(ge=0, le=100)] = 5
    activity_policy: Short | None = None


class Contacts(Part):
    """Whom to tell."""

    hdab_incident: Short | None = None
    dpo: Short | None = None
    security: Short | None = None


class LegalStatus(StrEnum):
    """What an issuer may say of a version it sends. EXPIRED is set by the clock, REVOKED by a status message."""

    GRANTED = "GRANTED"
    AMENDED = "AMENDED"
    RENEWED = "RENEWED"


class Permit(Part):
    """One version of a data permit."""

    lineage_id: Token
    version: Annotated[int, Field(ge=1, le=1_000_000)]
    supersedes: Token | None = None
    permit_id: Token
    message_id: Token
    application_id: Token | None = None
    issuer: Issuer
    decision: Decision
    legal_status: Annotated[LegalStatus, Field(strict=False)]
    holder: Holder | None = None
    controllers: Annotated[tuple[Controller, ...], Field(max_length=50, strict=False)] = ()
    principal_investigator: Token
    persons: Annotated[tuple[Person, ...], Field(max_length=2000, strict=False)]
    purposes: Annotated[tuple[Literal["a", "b", "c", "d", "e", "f"], ...], Field(min_length=1, strict=False)]
    purpose_text: Text | None = None
    legal_basis: LegalBasis | None = None
    datasets: Annotated[tuple[DatasetGrant, ...], Field(min_length=1, max_length=1000, strict=False)]
    user_datasets: Annotated[tuple[UserDataset, ...], Field(max_length=1000, strict=False)] = ()
    linkage: Linkage | None = None
    cross_border: CrossBorder | None = None
    validity: Validity
    spe: Spe | None = None
    resources: Resources | None = None
    outputs: Outputs | None = None
    gateway: Gateway | None = None
    conditions: Annotated[tuple[PermitCondition, ...], Field(max_length=500, strict=False)]
    safeguards: Annotated[tuple[Text, ...], Field(max_length=500, strict=False)] = ()
    ethics: Ethics | None = None
    fees: Annotated[tuple[Fee, ...], Field(max_length=100, strict=False)]
    dataset_formula: Formula | None = None
    agreements: Annotated[tuple[Agreement, ...], Field(max_length=100, strict=False)] = ()
    amendments: Annotated[tuple[Amendment, ...], Field(max_length=1000, strict=False)] = ()
    logging: Logging | None = None
    contacts: Contacts | None = None


class StatusPayload(Part):
    """The payload of ``tre-permit-status+jws``."""

    issuer: Url
    signing_key_id: KeyId
    lineage: Token
    version: Annotated[int, Field(ge=1)] | None = None
    sequence: Annotated[int, Field(ge=1, le=2**53 - 1)]
    status: Literal["REVOKED", "SUSPENDED", "LIFTED"]
    at: Instant
    reason: Text
    message_id: Token


class ApprovalPayload(Part):
    """The payload of ``tre-approval+jws``: a signed yes or no to one request's content."""

    request: Token
    content_digest: Sha256
    approves: bool
    approver: Token
    at: Instant
