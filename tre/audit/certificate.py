"""The deletion certificate: what was removed, when, how, verified by whom, and what is not covered.

Signed JSON; whoever has the file and the public key can verify it, without us and without a network.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tre.model.canonical import Json, canonical_bytes

FORMAT: Final = "tre-deletion-certificate/1"


class CertificateInvalid(Exception):
    """The certificate does not verify; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class SignedCertificate:
    """The certificate's bytes (canonical JSON) and its body."""

    raw: bytes
    body: Mapping[str, Json]


def sign(body: Mapping[str, Json], signer: Callable[[bytes], tuple[str, str]]) -> SignedCertificate:
    """Sign `body` (without ``format`` and ``signature``); `signer` gives (key name, base64 Ed25519 signature)."""
    content: dict[str, Json] = {"format": FORMAT, **body}
    key, signature = signer(canonical_bytes(content))
    return SignedCertificate(canonical_bytes({**content, "signature": {"key": key, "value": signature}}), content)


def verify(raw: bytes, public_key_pem: str) -> Mapping[str, Json]:
    """Return the body of a certificate that verifies under the key; raise CertificateInvalid otherwise."""
    try:
        content = json.loads(raw)
    except ValueError as error:
        raise CertificateInvalid("the file is not JSON") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CertificateInvalid(f"the file is not a {FORMAT}")
    signature = content.pop("signature", None)
    if not isinstance(signature, dict) or not isinstance(signature.get("value"), str):
        raise CertificateInvalid("the certificate has no signature")
    key = load_pem_public_key(public_key_pem.encode())
    if not isinstance(key, Ed25519PublicKey):
        raise CertificateInvalid("the public key is not an Ed25519 key")
    try:
        key.verify(base64.b64decode(signature["value"], validate=True), canonical_bytes(content))
    except (InvalidSignature, ValueError) as error:
        raise CertificateInvalid(
            "the signature does not fit: the certificate or the key is not the right one"
        ) from error
    return content
