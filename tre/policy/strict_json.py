"""JSON from outside, read strictly: what two parsers could read differently is refused."""

import json
import re
from typing import Final

from tre.model.decision import Finding

SIZE_MAX: Final = 1 << 20
DEPTH_MAX: Final = 32
_INTEGER_DIGITS_MAX: Final = 16
_STRINGS: Final = re.compile(rb'"(?:[^"\\\\]|\\\\.)*"', re.DOTALL)
_BRACKETS: Final = re.compile(rb"[\[{\]}]")


class Malformed(Exception):
    """The text is refused; `finding` says why (V-01)."""

    def __init__(self, reason: str, field: str = "") -> None:
        super().__init__(reason)
        self.finding = Finding("V-01", field or "message", reason)


def parse(raw: bytes) -> dict[str, object]:
    """Parse one JSON object.

    Refused: over 1 MiB, deeper than 32, BOM, not UTF-8, duplicate keys, NaN, Infinity,
    integers over 16 digits, lone surrogates, anything but an object at the top.
    """
    if len(raw) > SIZE_MAX:
        raise Malformed(f"larger than {SIZE_MAX} bytes")
    _check_depth(raw)
    try:
        text = raw.decode("utf-8", errors="strict")
        value = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_int=_bounded_int)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError as error:
        raise Malformed("not valid UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise Malformed(f"not JSON: {error.msg} at character {error.pos}") from error
    if not isinstance(value, dict):
        raise Malformed("not a JSON object")
    return value


def _check_depth(raw: bytes) -> None:
    """Count brackets outside strings before the parser recurses."""
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", raw)):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEPTH_MAX:
            raise Malformed(f"nested deeper than {DEPTH_MAX}")


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise Malformed(f"the key {ascii(key)[:40]} stands twice")
        found[key] = value
    return found


def _no_constant(text: str) -> object:
    raise Malformed(f"{text} is not JSON")


def _bounded_int(text: str) -> int:
    if len(text.lstrip("-")) > _INTEGER_DIGITS_MAX:
        raise Malformed("an integer has more than 16 digits")
    return int(text)
