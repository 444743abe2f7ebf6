"""OpenBao, really running: TLS, raft, unsealed by its keys. What the controller may not do is tried too."""

import json
import secrets
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import count

import pytest

from tre.contracts.credentials import CredentialHandle
from tre.contracts.errors import Permanent, Refused
from tre.controller.clock import SystemClock
from tre.credentials.client import VaultClient, path
from tre.credentials.openbao import AppRole, OpenBaoAuthority
from tre.credentials.policies import CONTROLLER
from tre.credentials.server import LocalVault
from tre.credentials.setup import Shares, VaultSetup
from tre.model.names import InvalidName
from tre.model.secret import Secret
from tre.model.workspace import WorkspaceRef
from tre.testing.authority_suite import AuthorityKit, AuthoritySuite


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalVault, VaultSetup]]:
    server = LocalVault(tmp_path_factory.mktemp("vault"))
    setup = VaultSetup(server, Shares())
    try:
        setup.run(SystemClock().now(), lambda _: None)
        yield server, setup
    finally:
        server.stop()


def ask(server: LocalVault, method: str, url: str, token: str = "", body: dict | None = None) -> int:
    """The witness's own HTTP."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(server.address + url, data, {"X-Vault-Token": token}, method=method)
    try:
        with urllib.request.urlopen(
            request, timeout=10, context=ssl.create_default_context(cafile=server.ca_file)
        ) as r:
            return r.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.fixture
def kit(vault: tuple[LocalVault, VaultSetup]) -> AuthorityKit:
    server, setup = vault
    numbers, clock = count(1), SystemClock()
    workspace = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(16))

    def build() -> OpenBaoAuthority:
        return OpenBaoAuthority(AppRole(server.client, *setup.role_files(CONTROLLER)), "a" * 16, clock)

    def outage(sealed: bool) -> None:
        if sealed:
            server.stop()
        else:
            server.start(clock.now())
            setup.unseal()

    return AuthorityKit(
        build=build,
        accepts=lambda s: ask(server, "GET", "/v1/auth/token/lookup-self", s.reveal()) == 200,
        handle=lambda: CredentialHandle(WorkspaceRef("a" * 16, workspace, "test", 1), 1, next(numbers)),
        clock=clock,
        wait=time.sleep,
        outage=outage,
    )


class TestOpenBaoAuthority(AuthoritySuite):
    """Every promise, on the real thing."""


@pytest.fixture
def controller_token(vault: tuple[LocalVault, VaultSetup]) -> str:
    server, setup = vault
    role_id, secret_id = (f.read_text() for f in setup.role_files(CONTROLLER))
    answer = server.client().post("auth", "approle", "login", role_id=role_id, secret_id=secret_id)
    return str(answer.body["auth"]["client_token"])


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("GET", "/v1/tre-static/data/abc/secret", None),
        ("PUT", "/v1/sys/policies/acl/mine", {"policy": 'path "*" { capabilities = ["sudo"] }'}),
        ("PUT", "/v1/sys/policy/mine", {"policy": 'path "*" { capabilities = ["sudo"] }'}),
        ("POST", "/v1/sys/mounts/mine", {"type": "kv"}),
        ("PUT", "/v1/sys/audit/mine", {"type": "file"}),
        ("POST", "/v1/auth/token/create", {"policies": ["root"]}),
        ("POST", "/v1/auth/token/create/tre-member", {"policies": ["tre-controller"]}),
        ("POST", "/v1/sys/leases/revoke-prefix/", {}),
        ("POST", "/v1/sys/seal", {}),
        ("GET", "/v1/transit/export/signing-key/tre-checkpoint", None),
        ("DELETE", "/v1/transit/keys/tre-checkpoint", None),
    ],
)
def test_the_controller_may_not(
    vault: tuple[LocalVault, VaultSetup], controller_token: str, method: str, url: str, body: dict | None
) -> None:
    assert ask(vault[0], method, url, controller_token, body) in (400, 403, 404, 405)
    assert ask(vault[0], "GET", "/v1/auth/token/lookup-self", controller_token) == 200


@pytest.mark.parametrize("disabled", [False, "false", 0, ""])
def test_the_controller_can_disable_and_never_enable(
    vault: tuple[LocalVault, VaultSetup], controller_token: str, kit: AuthorityKit, disabled: object
) -> None:
    handle = kit.handle()
    kit.build().revoke(handle, [])
    url = f"/v1/identity/entity/name/{handle.entity}"
    assert ask(vault[0], "POST", url, controller_token, {"disabled": disabled}) in (400, 403)
    assert ask(vault[0], "DELETE", url, controller_token) == 403
    with pytest.raises(Refused):
        kit.build().issue(handle, kit.clock.now().replace(year=2100))


def test_the_root_token_is_gone(vault: tuple[LocalVault, VaultSetup]) -> None:
    assert not vault[1].interrupted


@pytest.mark.parametrize("part", ["", ".", "..", "a/b", "a..b", "%2e%2e", "../x", "a\n", "ä", "-x", "x?y", "a#b"])
def test_no_path_climbs(part: str) -> None:
    with pytest.raises(InvalidName):
        path("identity", "entity", "name", part)


def test_paths_arrive_as_built(vault: tuple[LocalVault, VaultSetup], kit: AuthorityKit) -> None:
    handle = kit.handle()
    kit.build().issue(handle, kit.clock.now().replace(year=kit.clock.now().year + 1))
    log = (vault[0].folder / "audit.log").read_text()
    assert f'"path":"identity/entity/name/{handle.entity}"' in log


def test_plain_http_is_refused(vault: tuple[LocalVault, VaultSetup]) -> None:
    with pytest.raises(Permanent):
        VaultClient("http://127.0.0.1:1", vault[0].ca_file)


def test_another_authority_is_refused(
    vault: tuple[LocalVault, VaultSetup], tmp_path_factory: pytest.TempPathFactory
) -> None:
    from tre.credentials.tls import make_loopback_certificates

    other = tmp_path_factory.mktemp("other")
    make_loopback_certificates(other, SystemClock().now())
    with pytest.raises(Permanent, match="certificate"):
        VaultClient(vault[0].address, other / "ca.pem", Secret("x")).get("sys", "seal-status")
