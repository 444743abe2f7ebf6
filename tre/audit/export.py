"""The record as a file, and its offline verification.

JSON lines: a header, the records' canonical lines, the checkpoints, a footer. Whoever has the file, a checkpoint from
outside and the public key can tell whether a record was changed, dropped, swapped or cut off.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tre.audit.chain import checkpoint_line, checkpoint_message, read_checkpoint
from tre.model.canonical import Json, canonical_bytes
from tre.model.record import GENESIS, ChainHead, Checkpoint

FORMAT: Final = "tre-record/1"
_PROGRESS_EVERY: Final = 10_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verification found. `problem` names the first bad record; `complete` needs a checkpoint from outside."""

    records: int
    checkpoints: int
    head: ChainHead
    problem: str | None
    complete: bool
    sentence: str


def export(
    installation: str, lines: Iterable[bytes], checkpoints: Sequence[Checkpoint], keys: Mapping[str, str]
) -> Iterator[bytes]:
    """The file, line by line (without newlines)."""
    header: dict[str, Json] = {"format": FORMAT, "installation": installation, "keys": dict(keys)}
    yield canonical_bytes(header)
    count = 0
    for line in lines:
        count += 1
        yield line
    for checkpoint in checkpoints:
        yield b'{"checkpoint":' + checkpoint_line(checkpoint) + b"}"
    yield canonical_bytes({"end": count})


def verify(
    lines: Iterable[bytes],
    *,
    outside: Sequence[Checkpoint] = (),
    keys: Mapping[str, str] | None = None,
    strict: bool = False,
    blob: Callable[[str], bool | None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Verdict:
    """Verify an export. `outside`: checkpoints kept elsewhere; `keys`: key name to PEM, trusted for themselves.

    Without `keys` those of the file are used, which shows consistency only. `blob`: deep mode, says of a digest
    whether its text is there and whole (None: it was dropped by retention).
    """
    walk = _Walk(progress)
    source = iter(lines)
    header = _header(next(source, b""))
    if header is None:
        return walk.verdict(f"not a {FORMAT} file", complete=False)
    problem = walk.run(source, blob)
    trusted = dict(keys) if keys else header.keys
    installation = header.installation
    if problem is None:
        problem = walk.check_checkpoints(walk.found, trusted, installation)
    if problem is None:
        problem = walk.check_checkpoints(outside, trusted, installation, what="outside checkpoint")
    complete = problem is None and any(c.sequence <= walk.count for c in outside)
    if problem is None and strict and not complete:
        problem = "no checkpoint from outside: completeness is not shown"
    return walk.verdict(problem, complete=complete)


@dataclass(frozen=True, slots=True)
class _Header:
    installation: str
    keys: dict[str, str]


def _header(line: bytes) -> _Header | None:
    try:
        header = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(header, dict) and header.get("format") == FORMAT and isinstance(header.get("keys"), dict)
    return _Header(str(header["installation"]), {str(k): str(v) for k, v in header["keys"].items()}) if whole else None


class _Walk:
    """One pass over the lines."""

    def __init__(self, progress: Callable[[int], None] | None) -> None:
        self.count = 0
        self.found: list[Checkpoint] = []
        self._hashes: list[str] = [GENESIS]
        self._progress = progress

    def run(self, lines: Iterator[bytes], blob: Callable[[str], bool | None] | None) -> str | None:
        """Follow the chain; the first problem, or None."""
        ended = False
        for line in lines:
            if ended:
                return f"something follows the end, after record {self.count}"
            if line.startswith(b'{"checkpoint":'):
                problem = self._checkpoint(line)
            elif line.startswith(b'{"end":'):
                ended, problem = True, self._end(line)
            else:
                problem = self._record(line, blob)
            if problem:
                return problem
        return None if ended else f"the file is cut off after record {self.count}"

    def _record(self, line: bytes, blob: Callable[[str], bool | None] | None) -> str | None:
        number = self.count + 1
        if self.found:
            return f"record {number} stands after a checkpoint"
        try:
            body = json.loads(line)
            sequence, prev = body["seq"], body["prev"]
        except (ValueError, KeyError, TypeError):
            return f"record {number} cannot be read"
        if sequence != number:
            what = "is missing" if isinstance(sequence, int) and sequence > number else "is out of place"
            return f"record {number} {what}: record {sequence} stands there"
        if prev != self._hashes[-1]:
            return f"record {number} does not follow record {number - 1}: one of the two was changed"
        if canonical_bytes(body) != line:
            return f"record {number} is not in canonical form"
        if blob is not None:
            for digest in _digests(body.get("detail", {})):
                if blob(digest) is False:
                    return f"record {number} names {digest}, whose text was changed or is gone"
        self.count = number
        self._hashes.append(hashlib.sha256(line).hexdigest())
        if self._progress and number % _PROGRESS_EVERY == 0:
            self._progress(number)
        return None

    def _checkpoint(self, line: bytes) -> str | None:
        try:
            self.found.append(read_checkpoint(canonical_bytes(json.loads(line)["checkpoint"])))
        except (ValueError, KeyError, TypeError):
            return f"checkpoint {len(self.found) + 1} cannot be read"
        return None

    def _end(self, line: bytes) -> str | None:
        try:
            stated = json.loads(line)["end"]
        except (ValueError, KeyError):
            return "the last line cannot be read"
        return None if stated == self.count else f"the file states {stated} records and has {self.count}"

    def check_checkpoints(
        self, checkpoints: Sequence[Checkpoint], keys: Mapping[str, str], installation: str, what: str = "checkpoint"
    ) -> str | None:
        """Signatures and places of checkpoints."""
        for c in checkpoints:
            if c.installation != installation:
                return f"{what} at record {c.sequence} is of another installation"
            if c.sequence > self.count:
                return f"records {self.count + 1} to {c.sequence} are missing: a {what} was made after them"
            if self._hashes[c.sequence] != c.hash:
                return f"record {c.sequence} or one before it is not what its {what} was made over"
            if not _signed(c, keys):
                return f"the signature of the {what} at record {c.sequence} does not verify"
        return None

    def verdict(self, problem: str | None, *, complete: bool) -> Verdict:
        """The result."""
        head = ChainHead(self.count, self._hashes[-1])
        if problem:
            sentence = problem
        elif complete:
            sentence = f"{self.count} records verified, complete up to the last checkpoint from outside"
        else:
            sentence = f"{self.count} records are consistent, completeness not shown"
        return Verdict(self.count, len(self.found), head, problem, complete, sentence)


def _signed(checkpoint: Checkpoint, keys: Mapping[str, str]) -> bool:
    pem = keys.get(checkpoint.key)
    if pem is None:
        return False
    key = load_pem_public_key(pem.encode())
    head = ChainHead(checkpoint.sequence, checkpoint.hash)
    message = checkpoint_message(checkpoint.installation, head, checkpoint.at, checkpoint.key)
    try:
        if not isinstance(key, Ed25519PublicKey):
            return False
        key.verify(base64.b64decode(checkpoint.signature, validate=True), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _digests(detail: Mapping[str, Json]) -> Iterator[str]:
    """The digests of side-table texts that a record names."""
    for name in ("digest", "manifest", "certificate"):
        value = detail.get(name)
        if isinstance(value, str):
            yield value
