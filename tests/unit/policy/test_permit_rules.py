"""Each V-rule accepts and refuses; a refusal names rule and field."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from permits import DROP, ISSUER, NOW, payload, sign, stamp, status, trust

from tre.model.facts import PermitVersion, TrustRevoked
from tre.model.order import LineageKey
from tre.policy import jws
from tre.policy.intake import (
    Accepted,
    AcceptedStatus,
    Installation,
    IntakeContext,
    Rejected,
    check_permit,
    check_status,
    read_accepted,
)

KEY = jws.new_key()
ES_KEY = jws.new_key("ES256")
HERE = Installation("local", "local-spe")


def context(**changes: Any) -> IntakeContext:
    base = IntakeContext(NOW, (trust(KEY),), (), HERE, catalogue={"https://catalogue.example/lung": "lung"})
    return replace(base, **changes)


def check(ctx: IntakeContext | None = None, **changes: Any) -> Accepted | Rejected:
    return check_permit(sign(payload(KEY.kid, **changes), KEY), ctx or context())


def version(number: int = 1, **changes: Any) -> PermitVersion:
    end = NOW + timedelta(days=30)
    base = PermitVersion(
        LineageKey(ISSUER, "lineage-1"), number, f"old-{number}", f"m-{number}", "0" * 64, KEY.kid, NOW, end,
        "GRANTED", NOW, NOW, "file",
    )  # fmt: skip
    return replace(base, **changes)


def amended(**changes: Any) -> Accepted | Rejected:
    first = read_accepted(sign(payload(KEY.kid), KEY))
    ctx = context(previous=(version(),), previous_permit=first)
    base = {"version": 2, "permit_id": "2026-0002-FI", "message_id": "message-2", "legal_status": "AMENDED"}
    return check(ctx, **{**base, **changes})


def test_a_valid_permit_is_accepted() -> None:
    verdict = check()
    assert isinstance(verdict, Accepted)
    assert verdict.warnings == ()
    assert verdict.permit.lineage_id == "lineage-1"


def test_es256_is_accepted() -> None:
    ctx = context(trust=(trust(ES_KEY),))
    assert isinstance(check_permit(sign(payload(ES_KEY.kid), ES_KEY), ctx), Accepted)


FAR = stamp(NOW + timedelta(days=3653 + 10))
REFUSED = [
    ("V-01", "surprise", {"surprise": True}),
    ("V-01", "operational_state", {"operational_state": "ACTIVE"}),
    ("V-01", "provenance", {"provenance": {}}),
    ("V-01", "enforcement", {"enforcement": []}),
    ("V-01", "version", {"version": "1"}),
    ("V-01", "version", {"version": 0}),
    ("V-01", "version", {"version": True}),
    ("V-01", "permit_id", {"permit_id": DROP}),
    ("V-01", "datasets", {"datasets": []}),
    ("V-01", "purposes", {"purposes": ["z"]}),
    ("V-01", "spe.backends", {"spe__backends": ["mainframe"]}),
    ("V-01", "validity.not_after", {"validity__not_after": "2026-13-01T00:00:00Z"}),
    ("V-01", "validity.not_after", {"validity__not_after": "2026-05-01T00:00:00+02:00"}),
    ("V-01", "validity.not_after", {"validity__not_after": 1}),
    ("V-01", "resources.cpu", {"resources": {"cpu": -1}}),
    ("V-01", "resources.cpu", {"resources": {"cpu": 0.5}}),
    ("V-01", "resources.cpu", {"resources": {"cpu": 1_000_000_000}}),
    ("V-01", "lineage_id", {"lineage_id": "../other"}),
    ("V-01", "lineage_id", {"lineage_id": "-oProxyCommand=x"}),
    ("V-01", "lineage_id", {"lineage_id": "abc\n"}),
    ("V-01", "lineage_id", {"lineage_id": "ｋube"}),
    ("V-01", "issuer.country", {"issuer__country": "fi"}),
    ("V-33", "persons.0.name", {"persons__0__name": "\x1b[31mred"}),
    ("V-33", "persons.0.name", {"persons__0__name": "a\u202eb"}),
    ("V-02", "issuer.id", {"issuer__id": "https://other.example"}),
    ("V-02", "issuer.signing_key_id", {"issuer__signing_key_id": "another-key"}),
    ("V-04", "validity", {"validity__not_before": FAR}),
    ("V-04", "validity", {"validity__not_after": FAR, "validity__retention_until": FAR}),
    ("V-05", "legal_status", {"legal_status": "RENEWED"}),
    ("V-06", "decision.issued_at", {"decision__issued_at": stamp(NOW + timedelta(minutes=10))}),
    ("V-07", "purposes", {"purposes": ["a"], "holder__sector": "private"}),
    ("V-08", "principal_investigator", {"principal_investigator": "p-9"}),
    ("V-08", "persons", {"persons": []}),
    ("V-08", "persons", {"persons__1__person_id": "p-1"}),
    ("V-08", "persons.identities", {"persons__1__identities__0__sub": "one"}),
    ("V-10", "datasets[", {"datasets__0__specification__variables": []}),
    ("V-01", "datasets.0.category", {"datasets__0__category": DROP}),
    ("V-01", "datasets.0.form", {"datasets__0__form": "raw"}),
    ("V-11", "legal_basis", {"legal_basis": DROP}),
    ("V-11", "linkage.keys_by", {"linkage__keys_by": "holder"}),
    ("V-14", "datasets.0.access_mode", {"datasets__0__access_mode": "read_write"}),
    ("V-14", "outputs.anonymous_only", {"outputs": {"anonymous_only": False}}),
    ("V-15", "spe", {"spe__service_id": "elsewhere"}),
    ("V-15", "spe", {"spe": DROP}),
    ("V-15", "spe.certificate_until", {"spe__certificate_until": "2026-02-28"}),
    ("V-17", "conditions[", {"conditions": [{"code": "unheard-of", "text": "x", "enforceable": True}]}),
    ("V-17", "conditions[", {"conditions": [{"code": "idle-minutes", "text": "x", "enforceable": True}]}),
    ("V-34", "logging.access_years", {"logging": {"access_years": 0}}),
]


@pytest.mark.parametrize(("rule", "field", "changes"), REFUSED, ids=lambda x: x if isinstance(x, str) else None)
def test_a_rule_refuses_and_names_the_field(rule: str, field: str, changes: dict[str, Any]) -> None:
    verdict = check(**changes)
    assert isinstance(verdict, Rejected), verdict
    named = [(f.rule, f.field) for f in verdict.findings]
    assert any(r == rule and f.startswith(field) for r, f in named), named


ACCEPTED = [
    {"purposes": ["a"], "holder__sector": "public"},
    {"datasets__0__form": "anonymised", "legal_basis": DROP, "linkage": DROP},
    {"conditions": [{"code": "idle-minutes", "text": "x", "enforceable": True, "params": {"minutes": 10}}]},
    {"conditions": [{"code": "anything", "text": "x", "enforceable": False}]},
    {"spe__certificate_until": "2026-03-01"},
    {"logging": {"access_years": 1}},
    {"outputs": {"anonymous_only": True}},
    {"validity__not_after": stamp(NOW.replace(year=2036) - timedelta(minutes=1)),
     "validity__retention_until": stamp(NOW.replace(year=2036))},
    {"datasets__0__access_mode": "read_only", "resources": {"cpu": 4, "memory_gib": 8}},
]  # fmt: skip


@pytest.mark.parametrize("changes", ACCEPTED)
def test_the_rules_accept(changes: dict[str, Any]) -> None:
    verdict = check(**changes)
    assert isinstance(verdict, Accepted), verdict


def test_v02_a_revoked_an_expired_and_an_unknown_key_are_refused() -> None:
    for ctx in (
        context(revoked=(TrustRevoked(KEY.kid, None, "x", NOW),)),
        context(trust=(trust(KEY, valid_until=NOW),)),
        context(trust=()),
        context(trust=(trust(KEY, datasets=("https://catalogue.example/other",)),)),
    ):
        verdict = check(ctx)
        assert isinstance(verdict, Rejected)
        assert verdict.findings[0].rule == "V-02"


def test_v03_a_message_id_is_used_once_and_versions_only_rise() -> None:
    assert isinstance(check(context(seen_message="x")), Rejected)
    first = read_accepted(sign(payload(KEY.kid), KEY))
    low = check(context(previous=(version(5),), previous_permit=first), version=5, legal_status="AMENDED")
    assert isinstance(low, Rejected)
    gap = check(context(previous=(version(1),), previous_permit=first), version=4, legal_status="AMENDED")
    assert isinstance(gap, Accepted)
    assert [w.rule for w in gap.warnings] == ["V-03"]


def test_v04_a_key_may_grant_only_so_long() -> None:
    assert isinstance(check(context(trust=(trust(KEY, longest_days=29),))), Rejected)
    assert isinstance(check(context(trust=(trust(KEY, longest_days=31),))), Accepted)


def test_v05_one_renewal_before_the_end() -> None:
    first = read_accepted(sign(payload(KEY.kid), KEY))
    longer = {"legal_status": "RENEWED", "version": 2, "permit_id": "n-2", "message_id": "m-2",
              "validity__not_after": stamp(NOW + timedelta(days=60))}  # fmt: skip
    ctx = context(previous=(version(),), previous_permit=first)
    assert isinstance(check(ctx, **longer), Accepted)
    twice = context(previous=(version(legal_status="RENEWED"),), previous_permit=first)
    assert isinstance(check(twice, **longer), Rejected)
    late = context(previous=(version(not_after=NOW - timedelta(seconds=1)),), previous_permit=first)
    assert isinstance(check(late, **longer), Rejected)


def test_v09_v13_clip_and_never_widen() -> None:
    verdict = check(
        persons__0__valid_until=stamp(NOW + timedelta(days=99)),
        persons__1__valid_until=stamp(NOW + timedelta(days=3)),
        validity__retention_until=stamp(NOW + timedelta(days=900)),
    )
    assert isinstance(verdict, Accepted)
    assert {w.rule for w in verdict.warnings} == {"V-09", "V-13"}
    assert verdict.permit.persons[0].valid_until == NOW + timedelta(days=30)
    assert verdict.permit.persons[1].valid_until == NOW + timedelta(days=3)
    assert verdict.permit.validity.retention_until < NOW + timedelta(days=30 + 185)


def test_v15_our_own_certificate_counts() -> None:
    lapsed = Installation("local", "local-spe", date(2026, 2, 1))
    assert isinstance(check(context(installation=lapsed)), Rejected)


@pytest.mark.parametrize(
    "changes",
    [
        {"datasets__0__dataset_id": "https://catalogue.example/other"},
        {"purposes": ["e", "f"]},
        {"controllers": [{"name": "New", "role": "sole", "contact": "x"}]},
        {"linkage__allowed": True},
        {"validity__not_after": stamp(NOW + timedelta(days=31))},
        {"legal_status": "GRANTED"},
    ],
)
def test_v19_what_needs_a_new_permit_is_refused(changes: dict[str, Any]) -> None:
    verdict = amended(**changes)
    assert isinstance(verdict, Rejected)
    assert {f.rule for f in verdict.findings} == {"V-19"}


def test_v19_what_an_amendment_may_do() -> None:
    one = payload(KEY.kid)["persons"][:1]
    assert isinstance(amended(persons=one), Accepted)
    assert isinstance(amended(validity__not_after=stamp(NOW + timedelta(days=10)),
                              validity__retention_until=stamp(NOW + timedelta(days=10))), Accepted)  # fmt: skip


@pytest.mark.parametrize("final", ["REVOKED", "EXPIRED"])
def test_v20_nothing_brings_a_lineage_back(final: str) -> None:
    verdict = check(context(final=final))
    assert isinstance(verdict, Rejected)
    assert verdict.findings[-1].rule == "V-20"


def test_v27_an_unknown_dataset_is_a_warning() -> None:
    verdict = check(context(catalogue={}))
    assert isinstance(verdict, Accepted)
    assert [w.rule for w in verdict.warnings] == ["V-27"]


def test_v31_an_uncertain_clock_accepts_nothing() -> None:
    assert isinstance(check(context(clock_uncertainty_s=31.0)), Rejected)
    assert isinstance(check(context(clock_uncertainty_s=29.0)), Accepted)


def test_v32_a_fetched_decision_must_be_the_one() -> None:
    ctx = context(fetched_documents={"2026-0001-FI": "1" * 64})
    assert isinstance(check(ctx, decision__document_sha256="0" * 64), Rejected)
    assert isinstance(check(ctx, decision__document_sha256="1" * 64), Accepted)


def test_status_messages() -> None:
    good = check_status(sign(status(KEY.kid), KEY, jws.STATUS), context())
    assert isinstance(good, AcceptedStatus)
    for changes in ({"sequence": 0}, {"status": "GONE"}, {"at": stamp(NOW + timedelta(hours=1))}, {"extra": 1}):
        assert isinstance(check_status(sign(status(KEY.kid, **changes), KEY, jws.STATUS), context()), Rejected)
    assert isinstance(check_status(sign(status(KEY.kid), KEY, jws.PERMIT), context()), Rejected)
    assert isinstance(check_status(sign(status(KEY.kid), KEY, jws.STATUS), context(seen_message="x")), Rejected)
