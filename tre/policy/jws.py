"""Signed messages: RFC 7515 flattened JSON, ES256 or EdDSA, the algorithm pinned to the key (SPE-IFC-07, RFC 8725)."""

import base64
import binascii
import json
import warnings
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from tre.model.canonical import canonical_bytes
from tre.model.decision import Finding
from tre.model.facts import TrustEntry
from tre.policy import strict_json

# RFC 9864 renames the algorithm; the permit format of EHDS pilots says EdDSA, with the curve pinned by the key.
warnings.filterwarnings("ignore", message="EdDSA is deprecated via RFC 9864")

PERMIT: Final = "tre-permit+jws"
STATUS: Final = "tre-permit-status+jws"
APPROVAL: Final = "tre-approval+jws"
ALGORITHMS: Final = ("ES256", "EdDSA")


class BadMessage(Exception):
    """The message is not accepted; `finding` names rule, field and reason."""

    def __init__(self, rule: str, field: str, reason: str) -> None:
        super().__init__(reason)
        self.finding = Finding(rule, field, reason)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a message says of itself, before anything of it is believed."""

    kid: str
    typ: str
    alg: str
    payload: dict[str, object]


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A new signing key. `kid` is the RFC 7638 thumbprint."""

    kid: str
    algorithm: str
    private_pem: bytes
    public_pem: bytes


def _decode(part: object, field: str) -> bytes:
    if not isinstance(part, str) or "=" in part:
        raise BadMessage("V-02", field, "not base64url without padding")
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadMessage("V-02", field, "not base64url without padding") from error


def peek(raw: bytes) -> Envelope:
    """Read a message without believing it. BadMessage when it is not a flattened JWS of the one allowed form."""
    try:
        outer = strict_json.parse(raw)
        if set(outer) != {"protected", "payload", "signature"}:
            raise BadMessage("V-02", "message", "not a flattened JWS: exactly protected, payload and signature")
        header = strict_json.parse(_decode(outer["protected"], "protected"))
        payload = strict_json.parse(_decode(outer["payload"], "payload"))
    except strict_json.Malformed as error:
        raise BadMessage("V-01", error.finding.field, error.finding.reason) from error
    if set(header) != {"alg", "kid", "typ"}:
        raise BadMessage("V-02", "protected", "the header has exactly alg, kid and typ")
    alg, kid, typ = header["alg"], header["kid"], header["typ"]
    if alg not in ALGORITHMS or not isinstance(kid, str) or not isinstance(typ, str):
        raise BadMessage("V-02", "protected.alg", f"the algorithm is one of {', '.join(ALGORITHMS)}")
    return Envelope(kid, typ, str(alg), payload)


def verify(raw: bytes, typ: str, entry: TrustEntry) -> dict[str, object]:
    """Return the payload if the message is of type `typ` and signed by `entry`'s key with its pinned algorithm."""
    envelope = peek(raw)
    if envelope.typ != typ:
        raise BadMessage("V-02", "protected.typ", f"expected {typ}")
    if envelope.kid != entry.kid or envelope.alg != entry.algorithm:
        raise BadMessage("V-02", "protected.kid", "the key or its pinned algorithm is another one")
    key = _joserfc_key(entry.public_key.encode(), entry.algorithm)
    try:
        jws.deserialize_json(json.loads(raw), key, algorithms=[entry.algorithm])
    except (JoseError, ValueError) as error:
        raise BadMessage("V-02", "signature", "the signature does not verify") from error
    return envelope.payload


def sign(payload: object, typ: str, private_pem: bytes) -> bytes:
    """Sign a payload with an unencrypted PEM key (EC P-256 or Ed25519); the kid is the key's thumbprint."""
    kid, algorithm, _ = inspect(public_pem_of(private_pem))
    header = {"alg": algorithm, "kid": kid, "typ": typ}
    member: jws.HeaderDict = {"protected": header}
    key = _joserfc_key(private_pem, algorithm)
    signed = jws.serialize_json(member, canonical_bytes(payload), key, algorithms=[algorithm])  # type: ignore[arg-type]  # canonical JSON in
    return canonical_bytes(dict(signed))  # type: ignore[arg-type]  # a typed dict is a mapping of strings


def _joserfc_key(pem: bytes, algorithm: str) -> ECKey | OKPKey:
    return ECKey.import_key(pem) if algorithm == "ES256" else OKPKey.import_key(pem)


def public_pem_of(private_pem: bytes) -> bytes:
    """The public half of an unencrypted private key. ValueError for anything else."""
    private = serialization.load_pem_private_key(private_pem, password=None)
    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def inspect(public_pem: bytes) -> tuple[str, str, str]:
    """(kid, algorithm, normalised PEM) of a public key. ValueError unless it is EC P-256 or Ed25519."""
    public = serialization.load_pem_public_key(public_pem)
    if isinstance(public, ed25519.Ed25519PublicKey):
        algorithm = "EdDSA"
    elif isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1):
        algorithm = "ES256"
    else:
        raise ValueError("the key is neither EC P-256 nor Ed25519")  # noqa: TRY004  # the value is wrong, not its type
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _joserfc_key(pem, algorithm).thumbprint(), algorithm, pem.decode("ascii")


def new_key(algorithm: str = "EdDSA") -> KeyPair:
    """Make a new key. Entropy from the operating system."""
    private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
    private = ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else ec.generate_private_key(ec.SECP256R1())
    private_pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public_pem = public_pem_of(private_pem)
    return KeyPair(inspect(public_pem)[0], algorithm, private_pem, public_pem)
