"""Signed messages and strict JSON, attacked."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from permits import NOW, payload, sign, trust

from tre.policy import jws, strict_json

KEY = jws.new_key()
OTHER = jws.new_key()
GOOD = sign(payload(KEY.kid), KEY)


def b64(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def rebuilt(**parts: str) -> bytes:
    return json.dumps({**json.loads(GOOD), **parts}).encode()


def test_a_good_message_verifies() -> None:
    assert jws.verify(GOOD, jws.PERMIT, trust(KEY))["lineage_id"] == "lineage-1"


@pytest.mark.parametrize(
    "raw",
    [
        rebuilt(protected=b64({"alg": "none", "kid": KEY.kid, "typ": jws.PERMIT})),
        rebuilt(protected=b64({"alg": "HS256", "kid": KEY.kid, "typ": jws.PERMIT})),
        rebuilt(protected=b64({"alg": "ES256", "kid": KEY.kid, "typ": jws.PERMIT})),
        rebuilt(protected=b64({"alg": "EdDSA", "kid": OTHER.kid, "typ": jws.PERMIT})),
        rebuilt(protected=b64({"alg": "EdDSA", "kid": KEY.kid, "typ": "JWT"})),
        rebuilt(protected=b64({"alg": "EdDSA", "kid": KEY.kid, "typ": jws.PERMIT, "jku": "https://x"})),
        rebuilt(protected=b64({"alg": "EdDSA", "kid": KEY.kid, "typ": jws.PERMIT, "crit": ["x"]})),
        rebuilt(payload=b64({"a": 1})),
        rebuilt(signature=""),
        rebuilt(signature=b64(b"0" * 64)),
        rebuilt(header='{"alg":"none"}'),
        sign(payload(KEY.kid), OTHER),
        b"", b"{}", b"[]", b"null", b"x", GOOD.decode().encode("utf-16"), b"\xef\xbb\xbf" + GOOD, GOOD + b"x",
    ],
)  # fmt: skip
def test_anything_else_does_not(raw: bytes) -> None:
    with pytest.raises(jws.BadMessage):
        jws.verify(raw, jws.PERMIT, trust(KEY))


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_no_changed_byte_verifies(place: int, change: int) -> None:
    raw = bytearray(GOOD)
    raw[place] ^= change
    try:
        found = jws.verify(bytes(raw), jws.PERMIT, trust(KEY))
    except jws.BadMessage:
        return
    assert found == payload(KEY.kid), "only white space or a key's escape may change"


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}', b"[" * 100_000, b'{"a":' * 50,
        b'{"a":' + b"9" * 5000 + b"}", b'{"a":"\\ud800"}', b'{"a":"\xff"}', b"\xef\xbb\xbf{}", b"[1]", b'"x"',
        b"{" + b" " * (1 << 20) + b"}", b'{"a":1}}', "{}".encode("utf-16"),
    ],
)  # fmt: skip
def test_strict_json_refuses(raw: bytes) -> None:
    with pytest.raises(strict_json.Malformed):
        strict_json.parse(raw)


def test_strict_json_reads_what_is_plain() -> None:
    assert strict_json.parse(b'{"a":[{"b":"]}\\""}],"c":1.5}') == {"a": [{"b": ']}"'}], "c": 1.5}


@given(st.binary(max_size=300))
def test_nothing_else_than_malformed_is_raised(raw: bytes) -> None:
    try:
        strict_json.parse(raw)
    except strict_json.Malformed:
        return


@pytest.mark.parametrize("algorithm", jws.ALGORITHMS)
def test_keys(algorithm: str) -> None:
    pair = jws.new_key(algorithm)
    kid, found, _ = jws.inspect(pair.public_pem)
    assert (kid, found) == (pair.kid, algorithm)
    assert jws.public_pem_of(pair.private_pem) == pair.public_pem
    assert trust(pair, NOW).algorithm == algorithm
