"""The shipped bundle: each rule allows and denies; a rule that fails denies; profiles are what they claim."""

import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tre.model.workspace import Access, Capability
from tre.policy.bundle import BundleInvalid, default_directory, load_bundle

BUNDLE = load_bundle(default_directory())
FACTS: dict[str, Any] = {
    "permit": {
        "purposes": ["e"], "sector": "public", "persons": [{"person_id": "p-1", "identities": 1}],
        "backends": ["sandbox"], "spe_named": True, "log_years": 5,
    },
    "datasets": [{"dataset_id": "x", "form": "pseudonymised", "access_mode": "read_only", "custody": "hdab"}],
    "backend": {"kind": "sandbox", "capabilities": ["network-deny-all", "read-only-mount"]},
    "profile": {"name": "local", "real_data": False, "hold_days": 0, "credential_ttl_s": 3600},
    "trust": {"profiles": ["local"]},
    "now_in_window": True,
}  # fmt: skip

DENIED = {
    "SPE-PRM-01": [("trust", "profiles", ["csc"]), ("trust", "profiles", [])],
    "SPE-PRM-02": [("permit", "persons", []), ("permit", "spe_named", False)],
    "SPE-PRM-03": [(None, "now_in_window", False)],
    "SPE-PRM-11": [("permit", "purposes", ["a"])],
    "SPE-PRM-12": [("permit", "backends", ["slurm"])],
    "SPE-IDN-01": [("permit", "persons", [{"person_id": "p", "identities": 0}])],
    "SPE-DAT-02": [("backend", "capabilities", ["network-deny-all"])],
    "SPE-DAT-04": [("datasets", 0, {**FACTS["datasets"][0], "custody": "holder"})],
    "SPE-NET-02": [("backend", "capabilities", ["read-only-mount"])],
    "SPE-CRD-02": [("profile", "credential_ttl_s", 86401), ("profile", "credential_ttl_s", 0)],
    "SPE-TDN-02": [("profile", "hold_days", 200)],
    "SPE-LOG-03": [("permit", "log_years", 0)],
}


def test_the_rules_allow() -> None:
    decision = BUNDLE.decide(FACTS)
    assert decision.allowed, decision.reasons
    assert decision.bundle_digest == BUNDLE.digest
    assert set(decision.obligations) == set(DENIED)


@pytest.mark.parametrize(("rule", "change"), [(r, c) for r, cs in DENIED.items() for c in cs])
def test_each_rule_denies(rule: str, change: tuple[Any, Any, Any]) -> None:
    facts, (outer, inner, value) = deepcopy(FACTS), change
    (facts if outer is None else facts[outer])[inner] = value
    if rule == "SPE-PRM-11":
        facts["permit"]["sector"] = "private"
    decision = BUNDLE.decide(facts)
    assert not decision.allowed
    assert rule in {r.rule for r in decision.reasons}


def test_a_rule_that_cannot_be_evaluated_denies() -> None:
    decision = BUNDLE.decide({})
    assert not decision.allowed
    assert len(decision.reasons) == len(DENIED)


def test_profile_csc_demands_what_the_sandbox_lacks() -> None:
    demanded = BUNDLE.profiles["csc"].demanded
    assert {Capability.ENCRYPTED_STORAGE, Capability.STORAGE_QUOTA, Capability.SEPARATE_MEMBERS} <= demanded
    assert BUNDLE.profiles["csc"].hold_days == 90
    assert not BUNDLE.profiles["local"].real_data


def test_profiles_require_probes_on_every_rung() -> None:
    for profile in BUNDLE.profiles.values():
        for rung in (Access.WALLED, Access.MOUNTED, Access.LOCKED):
            assert profile.required_probes[rung], (profile.name, rung)


def test_any_change_is_another_digest(tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(default_directory(), copy)
    assert load_bundle(copy).digest == BUNDLE.digest
    (copy / "profiles" / "local.toml").write_text((copy / "profiles" / "local.toml").read_text() + "\n")
    assert load_bundle(copy).digest != BUNDLE.digest


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("rules.toml", '[[rule]]\nid = "X"\nfield = "f"\nreason = "r"\nwhen = "true"\n'),
        ("rules.toml", "not toml ["),
        ("profiles/local.toml", "unknown = 1\n"),
    ],
)
def test_a_wrong_bundle_is_refused(tmp_path: Path, file: str, text: str) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(default_directory(), copy)
    (copy / file).write_text(text)
    with pytest.raises(BundleInvalid):
        load_bundle(copy)


def test_a_rule_that_does_not_compile_is_named(tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(default_directory(), copy)
    rules = (copy / "rules.toml").read_text().replace('when = "now_in_window"', 'when = "a b"')
    (copy / "rules.toml").write_text(rules)
    bundle = load_bundle(copy)
    with pytest.raises(BundleInvalid, match="SPE-PRM-03"):
        bundle.compile()
    assert not bundle.decide(FACTS).allowed
