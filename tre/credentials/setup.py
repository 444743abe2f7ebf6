"""Installation of a local vault, resumable at each step: every step looks first whether it is done.

Init, unseal, mounts, policies, key, token role, two AppRoles; then the root token is revoked. Until then it lies
0600 in the vault's folder, and `tre doctor` is red.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from tre.contracts.errors import ContractError, Permanent, Transient
from tre.credentials.client import VaultClient
from tre.credentials.policies import CHECKPOINT_KEY, CONTROLLER, MEMBER, POLICIES, RESIDUE, STATIC_MOUNT
from tre.credentials.server import LocalVault
from tre.credentials.tls import write_private
from tre.model.secret import Secret

_READY_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Shares:
    """How the unseal key is split."""

    shares: int = 1
    threshold: int = 1


class VaultSetup:
    """Brings one local vault from nothing to serving."""

    def __init__(self, vault: LocalVault, shares: Shares) -> None:
        self._vault = vault
        self._shares = shares
        self._keys_file = vault.folder / "unseal-keys.json"
        self._root_file = vault.folder / "root-token"

    @property
    def interrupted(self) -> bool:
        """Whether a root token still lies about."""
        return self._root_file.exists()

    @property
    def keys_file(self) -> Path:
        """Where the unseal keys lie. Weak: whoever owns this folder can unseal."""
        return self._keys_file

    def role_files(self, role: str) -> tuple[Path, Path]:
        """The role id and secret id files of an AppRole."""
        return self._vault.folder / f"{role}.role-id", self._vault.folder / f"{role}.secret-id"

    def run(self, now: datetime, tell: Callable[[str], None]) -> None:
        """Do whatever is not done yet. Idempotent; raises what the vault raises, and can be run again."""
        tell("start the vault")
        self._vault.start(now)
        if not self._vault.state().initialised:
            tell("initialise the vault")
            self._initialise()
        self.unseal()
        if not self.interrupted:
            return
        root = VaultClient(self._vault.address, self._vault.ca_file, Secret(self._root_file.read_text("ascii").strip()))
        for name, step in (
            ("mounts", self._mounts),
            ("policies", self._policies),
            ("checkpoint key", self._key),
            ("roles", self._roles),
        ):
            tell(f"install {name}")
            step(root)
        tell("revoke the root token")
        root.post("auth", "token", "revoke-self")
        self._root_file.unlink()

    def _initialise(self) -> None:
        answer = self._vault.client().post(
            "sys", "init", secret_shares=self._shares.shares, secret_threshold=self._shares.threshold
        )
        # The keys first: a crash between the two files leaves a vault that can be unsealed, and no root token.
        write_private(self._keys_file, json.dumps(answer.body["keys_base64"]).encode())
        write_private(self._root_file, str(answer.body["root_token"]).encode())

    def unseal(self) -> None:
        """Unseal with the keys in the state folder and wait until the vault serves. Idempotent."""
        client = self._vault.client()
        if client.get("sys", "seal-status").body.get("sealed"):
            try:
                keys = json.loads(self._keys_file.read_text("ascii"))
            except (OSError, ValueError) as error:
                raise Permanent(f"the unseal keys are not in {self._keys_file.name}") from error
            for key in keys[: self._shares.threshold]:
                client.post("sys", "unseal", key=key)
        self._wait_until_serving(client)

    def _wait_until_serving(self, client: VaultClient) -> None:
        limit = time.monotonic() + _READY_S
        while time.monotonic() < limit:
            try:
                if client.get("sys", "leader").body.get("is_self"):
                    return
            except ContractError:
                pass
            time.sleep(0.05)
        raise Transient(f"the vault did not serve within {_READY_S:.0f} s after it was unsealed")

    @staticmethod
    def _mounts(root: VaultClient) -> None:
        mounts = root.get("sys", "mounts").data
        if "transit/" not in mounts:
            root.post("sys", "mounts", "transit", type="transit")
        if f"{STATIC_MOUNT}/" not in mounts:
            root.post("sys", "mounts", STATIC_MOUNT, type="kv", options={"version": "2"})
        if "approle/" not in root.get("sys", "auth").data:
            root.post("sys", "auth", "approle", type="approle")

    @staticmethod
    def _policies(root: VaultClient) -> None:
        for name, text in POLICIES.items():
            root.post("sys", "policies", "acl", name, policy=text)

    @staticmethod
    def _key(root: VaultClient) -> None:
        root.post("transit", "keys", CHECKPOINT_KEY, type="ed25519", exportable=False, allow_plaintext_backup=False)

    def _roles(self, root: VaultClient) -> None:
        root.post(
            "auth",
            "token",
            "roles",
            MEMBER,
            allowed_policies=[MEMBER],
            allowed_entity_aliases=["tre-*"],
            orphan=True,
            renewable=False,
            token_no_default_policy=True,
        )
        for role in (CONTROLLER, RESIDUE):
            root.post(
                "auth",
                "approle",
                "role",
                role,
                token_policies=[role],
                token_ttl="20m",  # noqa: S106  # a time
                token_max_ttl="20m",  # noqa: S106  # a time
                token_no_default_policy=True,
            )
            role_id, secret_id = self.role_files(role)
            answer = root.get("auth", "approle", "role", role, "role-id")
            write_private(role_id, str(answer.data["role_id"]).encode())
            answer = root.post("auth", "approle", "role", role, "secret-id")
            write_private(secret_id, str(answer.data["secret_id"]).encode())
