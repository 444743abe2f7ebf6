"""Permits for tests: a valid payload, and its signing."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from tre.model.facts import TrustEntry, TrustPurpose
from tre.policy import jws
from tre.policy.jws import KeyPair

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
ISSUER = "https://permits.example"
DATASET = "https://catalogue.example/lung"


def stamp(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def payload(kid: str, now: datetime = NOW, **changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "lineage_id": "lineage-1",
        "version": 1,
        "permit_id": "2026-0001-FI",
        "message_id": "message-1",
        "issuer": {"name": "Example HDAB", "country": "FI", "id": ISSUER, "signing_key_id": kid},
        "decision": {"outcome": "GRANTED", "issued_at": stamp(now - timedelta(minutes=5))},
        "legal_status": "GRANTED",
        "holder": {"sector": "public"},
        "principal_investigator": "p-1",
        "persons": [
            {"person_id": "p-1", "identities": [{"iss": "https://login.example", "sub": "one"}]},
            {"person_id": "p-2", "identities": [{"iss": "https://login.example", "sub": "two"}]},
        ],
        "purposes": ["e"],
        "legal_basis": {"gdpr6": "6(1)(e)"},
        "datasets": [
            {
                "dataset_id": DATASET,
                "category": "clinical-trial",
                "source": {"holder_name": "Example", "holder_id": "h-1", "trusted_holder": True, "country": "FI"},
                "specification": {"variables": ["time"], "cohort": "all", "geography": ["FI"]},
                "format": "text/csv",
                "form": "pseudonymised",
                "access_mode": "read_only",
            }
        ],
        "linkage": {"allowed": False, "keys_by": "hdab"},
        "validity": {
            "not_before": stamp(now - timedelta(minutes=1)),
            "not_after": stamp(now + timedelta(days=30)),
            "retention_until": stamp(now + timedelta(days=30)),
            "extension_count": 0,
        },
        "spe": {"provider": "local", "service_id": "local-spe", "backends": ["sandbox"]},
        "conditions": [],
        "fees": [],
    }
    return put(body, changes)


def put(body: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Set fields by dotted path (``a__b`` for a.b, ``__0__`` for an index); the value DROP removes one."""
    body = deepcopy(body)
    for where, value in changes.items():
        steps = [int(s) if s.isdigit() else s for s in where.split("__")]
        at: Any = body
        for step in steps[:-1]:
            at = at[step]
        if value is DROP:
            del at[steps[-1]]
        else:
            at[steps[-1]] = value
    return body


DROP = object()


def trust(key: KeyPair, now: datetime = NOW, **changes: Any) -> TrustEntry:
    values: dict[str, Any] = {
        "kid": key.kid,
        "purpose": TrustPurpose.ISSUER,
        "algorithm": key.algorithm,
        "public_key": key.public_pem.decode(),
        "holder": ISSUER,
        "profiles": ("local",),
        "datasets": (),
        "longest_days": None,
        "valid_from": now - timedelta(days=365),
        "valid_until": now + timedelta(days=365),
        "added_by": "test",
        "at": now,
    }
    return TrustEntry(**{**values, **changes})


def status(kid: str, now: datetime = NOW, **changes: Any) -> dict[str, Any]:
    body = {
        "issuer": ISSUER,
        "signing_key_id": kid,
        "lineage": "lineage-1",
        "sequence": 1,
        "status": "REVOKED",
        "at": stamp(now),
        "reason": "the purpose has ended",
        "message_id": "status-1",
    }
    return put(body, changes)


def sign(body: dict[str, Any], key: KeyPair, typ: str = jws.PERMIT) -> bytes:
    return jws.sign(body, typ, key.private_pem)
