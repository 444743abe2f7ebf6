"""The credential authority on OpenBao: one entity per (workspace, slot, epoch); lock-out disables it for good."""

import base64
import math
import threading
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from tre.contracts.clock import Clock
from tre.contracts.credentials import AuthorityInfo, CredentialHandle, Death, DeathProof, Lease
from tre.contracts.errors import Permanent, Refused, Transient
from tre.credentials.client import VaultClient
from tre.credentials.policies import CHECKPOINT_KEY, MEMBER
from tre.model.names import checked
from tre.model.secret import Secret

_LONGEST_S: Final = 24 * 3600
_NOT_FOUND: Final = 404
T = TypeVar("T")


class AppRole:
    """Logs in with a role id and a secret id from files, and again when the token has run out."""

    def __init__(self, connect: Callable[[], VaultClient], role_id_file: Path, secret_id_file: Path) -> None:
        self._connect = connect
        self._files = (role_id_file, secret_id_file)
        self._client: VaultClient | None = None
        self._lock = threading.Lock()

    def _login(self) -> VaultClient:
        """Take a fresh token. Permanent when the files are missing or refused."""
        try:
            role_id, secret_id = (f.read_text("ascii").strip() for f in self._files)
        except OSError as error:
            raise Permanent(f"the vault role's file {self._files[0].name} cannot be read") from error
        client = self._connect()
        answer = client.post("auth", "approle", "login", role_id=role_id, secret_id=secret_id)
        client.use(Secret(str(answer.body["auth"]["client_token"])))
        self._client = client
        return client

    def call(self, ask: Callable[[VaultClient], T]) -> T:
        """Ask with a token; once more with a fresh one when the vault forbids (tokens end on their own)."""
        with self._lock:
            before, client = self._client, self._client or self._login()
            try:
                return ask(client)
            except Refused:
                if before is None:
                    raise
                return ask(self._login())


class OpenBaoAuthority:
    """`tre.contracts.credentials.CredentialAuthority` and `CheckpointSigner` on a real OpenBao."""

    def __init__(self, role: AppRole, installation: str, clock: Clock) -> None:
        self._role = role
        self._installation = installation
        self._clock = clock
        self._mine: dict[CredentialHandle, list[Secret]] = {}
        self._token_mount = ""

    def describe(self) -> AuthorityInfo:
        """See the contract."""
        self._role.call(lambda c: c.get("auth", "token", "lookup-self"))
        return AuthorityInfo("openbao", "2", _LONGEST_S, signs_checkpoints=True)

    def footprint(self, handle: CredentialHandle) -> tuple[str, ...]:
        """See the contract."""
        return (checked(handle.entity, "entity name"),)

    def issue(self, handle: CredentialHandle, ends_at: datetime) -> Lease:
        """See the contract."""
        entity = self._entity(handle)
        if entity["disabled"]:
            raise Refused(f"{handle.entity} is closed")
        life_s = math.floor((ends_at - self._clock.now()).total_seconds())
        if life_s < 1:
            raise Refused(f"{handle.entity}: the end is not in the future")
        answer = self._role.call(
            lambda c: c.post(
                "auth",
                "token",
                "create",
                MEMBER,
                entity_alias=handle.entity,
                explicit_max_ttl=f"{life_s}s",
                ttl=f"{life_s}s",
            )
        )
        auth = answer.body["auth"]
        secret = Secret(str(auth["client_token"]))
        self._mine.setdefault(handle, []).append(secret)
        return Lease(handle, str(auth["accessor"]), secret, ends_at)

    def renew(self, lease: Lease, ends_at: datetime) -> Lease:
        """See the contract. Leases are minted with their whole life, so renewing is minting within the first end."""
        if ends_at > lease.ends_at:
            raise Refused(f"{lease.handle.entity}: a lease is never lengthened past its end")
        return self.issue(lease.handle, ends_at)

    def _entity(self, handle: CredentialHandle) -> dict[str, Any]:
        """Read the epoch's entity, made and aliased when it is absent."""
        name = checked(handle.entity, "entity name")
        found = self._role.call(lambda c: c.get("identity", "entity", "name", name))
        if found.status == _NOT_FOUND:
            metadata = {
                "installation": self._installation,
                "workspace": handle.ref.workspace,
                "generation": str(handle.ref.generation),
                "slot": str(handle.slot),
                "epoch": str(handle.epoch),
            }
            self._role.call(lambda c: c.post("identity", "entity", "name", name, metadata=metadata))
            found = self._role.call(lambda c: c.get("identity", "entity", "name", name))
        if not found.data.get("aliases") and not found.data["disabled"]:
            self._alias(name, str(found.data["id"]))
        return found.data

    def _alias(self, name: str, entity: str) -> None:
        if not self._token_mount:
            mounts = self._role.call(lambda c: c.get("sys", "auth"))
            self._token_mount = str(mounts.data["token/"]["accessor"])
        mount = self._token_mount
        self._role.call(
            lambda c: c.post("identity", "entity-alias", name=name, canonical_id=entity, mount_accessor=mount)
        )

    def revoke(self, handle: CredentialHandle, accessors: Collection[str]) -> None:
        """See the contract. Disabling comes first: it needs no accessor and ends every minting."""
        name = checked(handle.entity, "entity name")
        self._entity_exists(handle)
        self._role.call(lambda c: c.post("identity", "entity", "name", name, disabled="true"))
        for accessor in accessors:
            self._revoke_accessor(accessor)

    def _entity_exists(self, handle: CredentialHandle) -> None:
        """A tombstone is made for an epoch that never was, so that nobody can open it later."""
        name = checked(handle.entity, "entity name")
        if self._role.call(lambda c: c.get("identity", "entity", "name", name)).status == _NOT_FOUND:
            metadata = {"installation": self._installation, "workspace": handle.ref.workspace}
            self._role.call(lambda c: c.post("identity", "entity", "name", name, metadata=metadata, disabled="true"))

    def _revoke_accessor(self, accessor: str) -> None:
        if self._lookup(accessor):
            self._role.call(lambda c: c.post("auth", "token", "revoke-accessor", accessor=accessor))

    def _lookup(self, accessor: str) -> bool:
        """Whether the accessor still names a token in the vault."""
        answer = self._role.call(lambda c: c.post("auth", "token", "lookup-accessor", accessor=accessor))
        return answer.status != _NOT_FOUND

    def prove_dead(self, handle: CredentialHandle, accessors: Collection[str]) -> DeathProof:
        """See the contract."""
        try:
            return self._proof(handle, accessors)
        except Transient as error:
            return DeathProof(Death.INCONCLUSIVE, error.reason)
        except (Refused, Permanent) as error:
            return DeathProof(Death.INCONCLUSIVE, f"the control token was not accepted: {error.reason}")

    def _proof(self, handle: CredentialHandle, accessors: Collection[str]) -> DeathProof:
        self._role.call(lambda c: c.get("auth", "token", "lookup-self"))
        entity = self._role.call(lambda c: c.get("identity", "entity", "name", checked(handle.entity)))
        if entity.status == _NOT_FOUND:
            return DeathProof(Death.INCONCLUSIVE, "the epoch has no tombstone")
        if entity.data.get("disabled") is not True:
            return DeathProof(Death.ALIVE, "the entity is enabled")
        alive = [a for a in accessors if self._lookup(a)]
        if alive:
            return DeathProof(Death.ALIVE, f"{len(alive)} of {len(accessors)} accessors still name a token")
        method = f"lookup of the entity and {len(accessors)} accessors"
        mine = self._mine.get(handle, [])
        if any(self._works(secret) for secret in mine):
            return DeathProof(Death.ALIVE, "a secret was accepted")
        if mine:
            method += f", trial of {len(mine)} secrets"
        return DeathProof(Death.DEAD, f"{method}, beside a live control token")

    def _works(self, secret: Secret) -> bool:
        """Try the secret itself. Transient passes on: no answer is no proof."""
        return self._role.call(lambda c: c.accepts(secret))

    def inventory(self) -> tuple[str, ...]:
        """See the contract."""
        answer = self._role.call(lambda c: c.list("identity", "entity", "name"))
        return tuple(sorted(k for k in answer.data.get("keys", []) if k.startswith("tre-")))

    # -- CheckpointSigner --------------------------------------------------------------------------------------------

    def sign(self, message: bytes) -> tuple[str, str]:
        """See `tre.contracts.credentials.CheckpointSigner`."""
        encoded = base64.b64encode(message).decode()
        answer = self._role.call(lambda c: c.post("transit", "sign", CHECKPOINT_KEY, input=encoded))
        _, version, signature = str(answer.data["signature"]).split(":", 2)
        return f"{CHECKPOINT_KEY}:{version.removeprefix('v')}", signature

    def public_keys(self) -> dict[str, str]:
        """See `tre.contracts.credentials.CheckpointSigner`."""
        answer = self._role.call(lambda c: c.get("transit", "keys", CHECKPOINT_KEY))
        return {
            f"{CHECKPOINT_KEY}:{version}": _pem(str(key["public_key"])) for version, key in answer.data["keys"].items()
        }


def _pem(raw: str) -> str:
    """The vault gives an Ed25519 public key as base64 of 32 bytes; PEM is what others read."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(raw))
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
