"""The vault's side of the scan: an AppRole of its own, the standard library's HTTP, nothing of `tre.credentials`.

What may remain is a disabled tombstone: it can never be enabled, and keeps a name from being used again.
"""

import http.client
import json
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from tre.model.facts import FootprintItem, FootprintKind, Residue
from tre.model.names import checked

_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class VaultEyes:
    """Where the vault is and how this scanner logs in."""

    address: str
    ca_file: Path
    role_id_file: Path
    secret_id_file: Path


def look_in_vault(eyes: VaultEyes, items: Iterable[FootprintItem]) -> tuple[Residue, ...]:
    """Entities that could still give a credential. OSError or ValueError when the vault cannot tell."""
    names = [checked(i.value) for i in items if i.kind is FootprintKind.VAULT_ENTITY]
    if not names:
        return ()
    token = _login(eyes)
    found: list[Residue] = []
    for name in names:
        status, body = _ask(eyes, "GET", f"/v1/identity/entity/name/{quote(name, safe='')}", token=token)
        if status == http.HTTPStatus.OK and body["data"].get("disabled") is not True:
            found.append(Residue(FootprintKind.VAULT_ENTITY, name, "the entity is enabled"))
        elif status not in (http.HTTPStatus.OK, http.HTTPStatus.NOT_FOUND):
            raise ValueError(f"the vault answered {status} for {name}")
    return tuple(found)


def _login(eyes: VaultEyes) -> str:
    payload = {
        "role_id": eyes.role_id_file.read_text("ascii").strip(),
        "secret_id": eyes.secret_id_file.read_text("ascii").strip(),
    }
    status, body = _ask(eyes, "POST", "/v1/auth/approle/login", payload=payload)
    if status != http.HTTPStatus.OK:
        raise ValueError(f"the vault refused the scanner's login ({status})")
    return str(body["auth"]["client_token"])


def _ask(
    eyes: VaultEyes, method: str, path: str, *, payload: dict[str, str] | None = None, token: str = ""
) -> tuple[int, dict[str, Any]]:
    where = urlsplit(eyes.address)
    context = ssl.create_default_context(cafile=str(eyes.ca_file))
    connection = http.client.HTTPSConnection(where.hostname or "", where.port, timeout=_TIMEOUT_S, context=context)
    try:
        headers = {"X-Vault-Token": token} if token else {}
        connection.request(method, path, body=json.dumps(payload) if payload else None, headers=headers)
        response = connection.getresponse()
        raw = response.read()
        return response.status, json.loads(raw) if raw else {}
    finally:
        connection.close()
