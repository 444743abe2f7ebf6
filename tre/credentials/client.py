"""The one HTTP way to the vault: hvac behind the name gate, with time-outs and our own errors.

hvac folds ``..`` and empty names into other people's paths, so a path is built here, from checked parts only.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tre.contracts.errors import Permanent, Refused, Transient
from tre.model.names import InvalidName
from tre.model.secret import Secret

_PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the vault said: a status code and its JSON."""

    status: int
    body: dict[str, Any]

    @property
    def data(self) -> dict[str, Any]:
        """The ``data`` object, {} when there is none."""
        return self.body.get("data") or {}


def path(*parts: str) -> str:
    """Join checked parts; InvalidName for an empty part, a dot part, a slash or anything but ASCII."""
    for part in parts:
        if not _PART.fullmatch(part) or ".." in part:
            raise InvalidName("vault path part", part)
    return "/v1/" + "/".join(parts)


class VaultClient:
    """One connection pool to one vault, with one token. TLS is verified with `ca_file` only; there is no off switch.

    Nothing is read from the environment: no proxy, no address, no token, no skip-verify.
    """

    def __init__(self, address: str, ca_file: Path, token: Secret | None = None) -> None:
        if not address.startswith("https://"):
            raise Permanent("the vault's address must begin with https://")
        self._address, self._ca_file = address, ca_file
        import hvac
        import requests

        session = requests.Session()
        session.trust_env = False
        session.verify = str(ca_file)
        self._client = hvac.Client(
            url=address,
            token=token.reveal() if token else "",
            verify=str(ca_file),
            timeout=TIMEOUT_S,
            session=session,
            allow_redirects=False,
        )

    def use(self, token: Secret) -> None:
        """Use this token from now on."""
        self._client.token = token.reveal()

    def accepts(self, secret: Secret) -> bool:
        """Whether the vault accepts this token for a look at itself. Transient when it does not answer."""
        try:
            VaultClient(self._address, self._ca_file, secret).get("auth", "token", "lookup-self")
        except Refused:
            return False
        return True

    def get(self, *parts: str) -> Answer:
        """Read. A 404 is an answer, not an error."""
        return self._call("get", path(*parts))

    def list(self, *parts: str) -> Answer:
        """List. A 404 means an empty list."""
        return self._call("list", path(*parts))

    def post(self, *parts: str, **body: Any) -> Answer:
        """Write."""
        return self._call("post", path(*parts), body)

    def delete(self, *parts: str) -> Answer:
        """Delete one thing."""
        return self._call("delete", path(*parts))

    def _call(self, method: str, url: str, body: dict[str, Any] | None = None) -> Answer:
        import requests
        from hvac import exceptions as far

        more: dict[str, Any] = {"json": body} if body is not None else {}
        try:
            response = self._client.adapter.request(method, url, raise_exception=True, **more)
        except far.InvalidPath as error:
            return Answer(404, error.json if isinstance(error.json, dict) else {})
        except far.Forbidden as error:
            raise Refused(f"the vault forbids {method} {url}") from error
        except (far.VaultDown, far.BadGateway, far.InternalServerError, far.RateLimitExceeded) as error:
            raise Transient(f"the vault does not serve {method} {url} ({type(error).__name__})") from error
        except far.VaultNotInitialized as error:
            raise Permanent("the vault is not initialised") from error
        except far.VaultError as error:
            if "invalid accessor" in str(error):  # its way of saying 404
                return Answer(404, {})
            raise Permanent(f"the vault refused {method} {url}: {_first_line(error)}") from error
        except requests.exceptions.SSLError as error:
            raise Permanent("the vault's certificate does not verify") from error
        except requests.exceptions.RequestException as error:
            raise Transient(f"the vault does not answer ({type(error).__name__})", retry_after_s=2.0) from error
        if isinstance(response, dict):
            return Answer(200, response)
        text = response.text
        return Answer(response.status_code, response.json() if text and text.startswith("{") else {})


def _first_line(error: Exception) -> str:
    """The vault's own words without the URL: at most 120 characters."""
    return str(error).split(", on ", maxsplit=1)[0].replace("\n", " ").strip()[:120]
