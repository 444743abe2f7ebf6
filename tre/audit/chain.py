"""The chain: each record's canonical line holds the hash of the one before; the hash is over the whole line."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from tre.model.canonical import Json, canonical_bytes, sha256_hex
from tre.model.record import AuditEntry, AuditRecord, ChainHead, Checkpoint, RecordKind


def _stamp(at: datetime) -> str:
    """Microseconds, UTC, fixed width."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def link(entry: AuditEntry, head: ChainHead, at: datetime) -> tuple[AuditRecord, bytes]:
    """The next record after `head`, and its canonical line (without the hash, which is the line's SHA-256)."""
    sequence = head.sequence + 1
    body: dict[str, Json] = {
        "seq": sequence,
        "at": _stamp(at),
        "kind": entry.kind.value,
        "actor": entry.actor,
        "subject": entry.subject,
        "detail": entry.detail,
        "prev": head.hash,
    }
    line = canonical_bytes(body)
    record = AuditRecord(
        sequence, at, entry.kind, entry.actor, entry.subject, entry.detail, head.hash, sha256_hex(line)
    )
    return record, line


def read(line: bytes) -> AuditRecord:
    """A record from its canonical line. ValueError or KeyError when it is not one."""
    body: Mapping[str, Json] = json.loads(line)
    at = datetime.strptime(str(body["at"]), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    detail = body["detail"]
    if not isinstance(detail, Mapping) or not isinstance(body["seq"], int):
        raise ValueError("not a record")  # noqa: TRY004  # a line that is no record is a wrong value
    return AuditRecord(
        body["seq"],
        at,
        RecordKind(str(body["kind"])),
        str(body["actor"]),
        str(body["subject"]),
        detail,
        str(body["prev"]),
        sha256_hex(line),
    )


def checkpoint_message(installation: str, head: ChainHead, at: datetime, key: str) -> bytes:
    """What a checkpoint's signature is over: everything but the signature."""
    body: dict[str, Json] = {
        "installation": installation,
        "seq": head.sequence,
        "hash": head.hash,
        "at": _stamp(at),
        "key": key,
    }
    return canonical_bytes(body)


def checkpoint_line(checkpoint: Checkpoint) -> bytes:
    """One canonical line for a file outside the store."""
    message = checkpoint_message(
        checkpoint.installation, ChainHead(checkpoint.sequence, checkpoint.hash), checkpoint.at, checkpoint.key
    )
    return canonical_bytes({**json.loads(message), "signature": checkpoint.signature})


def read_checkpoint(line: bytes) -> Checkpoint:
    """A checkpoint from its line. ValueError or KeyError when it is not one."""
    body = json.loads(line)
    at = datetime.strptime(body["at"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return Checkpoint(body["installation"], int(body["seq"]), body["hash"], at, body["key"], body["signature"])
