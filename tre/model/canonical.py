"""The one byte form of a JSON value (RFC 8785), and its digest."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import rfc8785

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


def canonical_bytes(value: Json) -> bytes:
    """Return the RFC 8785 bytes of `value`. Integers beyond 2**53 and NaN are refused with ValueError."""
    return rfc8785.dumps(value)


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest_of(value: Json) -> str:
    """Return the SHA-256 of the canonical bytes of `value`."""
    return sha256_hex(canonical_bytes(value))
