"""The one gate for names and paths, and the one place where far-side names are made.

Client libraries fold ``..`` and empty names into deletes of whole collections, so nothing reaches a far side unless
it went through `checked`. Text from a permit never does: far-side names are derived from our own ids.
"""

import base64
import hashlib
import re
from typing import Final

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ID: Final = re.compile(r"[a-z2-7]{16}")
ID_BYTES: Final = 10


class InvalidName(ValueError):
    """A text that may not be used as a name. The message shows at most 40 escaped characters of it."""

    def __init__(self, kind: str, text: object) -> None:
        super().__init__(f"not a valid {kind}: {ascii(text)[:40]} (lower-case letters, digits and inner hyphens, 1-63)")


def checked(text: str, kind: str = "name") -> str:
    """Return `text` if it is 1-63 ASCII lower-case letters, digits and inner hyphens; else raise `InvalidName`."""
    if not isinstance(text, str) or not _NAME.fullmatch(text):
        raise InvalidName(kind, text)
    return text


def checked_id(text: str, kind: str = "id") -> str:
    """Return `text` if it is one of our ids: 16 characters of lower-case base32; else raise `InvalidName`."""
    if not isinstance(text, str) or not _ID.fullmatch(text):
        raise InvalidName(kind, text)
    return text


def id_from(entropy: bytes) -> str:
    """Make an id (16 characters, lower-case base32) from at least ten bytes of entropy."""
    if len(entropy) < ID_BYTES:
        message = f"an id needs {ID_BYTES} bytes of entropy, got {len(entropy)}"
        raise ValueError(message)
    return base64.b32encode(entropy[:ID_BYTES]).decode("ascii").lower()


def derived(prefix: str, *parts: str | int, length: int = 16) -> str:
    """Derive a far-side name: `prefix`, a hyphen, and `length` base32 characters of a hash over `parts`.

    The parts are joined unambiguously, so different parts give different names (up to a collision of 5 bits a
    character). The result passes `checked`.
    """
    joined = "\x00".join(f"{len(str(part))}:{part}" for part in parts)
    digest = base64.b32encode(hashlib.sha256(joined.encode()).digest()).decode("ascii").lower()
    return checked(f"{prefix}-{digest[:length]}")
