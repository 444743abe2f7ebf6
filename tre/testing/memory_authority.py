"""The memory twin of a credential authority: a file, so that killing the process is a real crash."""

import json
import secrets
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Any

from tre.contracts.clock import Clock
from tre.contracts.credentials import AuthorityInfo, CredentialHandle, Death, DeathProof, Lease
from tre.contracts.errors import Refused, Transient
from tre.model.secret import Secret


class MemoryAuthority:
    """`tre.contracts.credentials.CredentialAuthority` over a JSON file, and a signer with a key of its own."""

    def __init__(self, file: Path, clock: Clock) -> None:
        self._file = file
        self._clock = clock

    def _read(self) -> dict[str, Any]:
        vault: dict[str, Any] = json.loads(self._file.read_text()) if self._file.exists() else {"sealed": False}
        vault.setdefault("entities", {})
        vault.setdefault("tokens", {})
        if vault["sealed"]:
            raise Transient("the vault is sealed")
        return vault

    def _write(self, vault: dict[str, Any]) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(vault))
        new.rename(self._file)

    def seal(self, *, sealed: bool) -> None:
        """Seal or unseal."""
        vault = json.loads(self._file.read_text()) if self._file.exists() else {}
        self._write({**vault, "sealed": sealed})

    def describe(self) -> AuthorityInfo:
        """See the contract."""
        self._read()
        return AuthorityInfo("memory", "1", 24 * 3600, signs_checkpoints=False)

    def footprint(self, handle: CredentialHandle) -> tuple[str, ...]:
        """See the contract."""
        return (handle.entity,)

    def issue(self, handle: CredentialHandle, ends_at: datetime) -> Lease:
        """See the contract."""
        vault = self._read()
        if vault["entities"].get(handle.entity) == "disabled":
            raise Refused(f"{handle.entity} is closed")
        if ends_at <= self._clock.now():
            raise Refused(f"{handle.entity}: the end is not in the future")
        vault["entities"][handle.entity] = "enabled"
        secret, accessor = secrets.token_hex(8), secrets.token_hex(8)
        vault["tokens"][accessor] = {"entity": handle.entity, "secret": secret, "ends_at": ends_at.isoformat()}
        self._write(vault)
        return Lease(handle, accessor, Secret(secret), ends_at)

    def renew(self, lease: Lease, ends_at: datetime) -> Lease:
        """See the contract."""
        if ends_at > lease.ends_at:
            raise Refused("a lease is never lengthened past its end")
        return self.issue(lease.handle, ends_at)

    def accepts(self, secret: Secret) -> bool:
        """Whether the authority accepts a secret now: the witness's question."""
        vault = self._read()
        now = self._clock.now()
        return any(
            t["secret"] == secret.reveal()
            and vault["entities"][t["entity"]] == "enabled"
            and datetime.fromisoformat(t["ends_at"]) > now
            for t in vault["tokens"].values()
        )

    def revoke(self, handle: CredentialHandle, accessors: Collection[str]) -> None:
        """See the contract."""
        vault = self._read()
        vault["entities"][handle.entity] = "disabled"
        for accessor in accessors:
            vault["tokens"].pop(accessor, None)
        self._write(vault)

    def prove_dead(self, handle: CredentialHandle, accessors: Collection[str]) -> DeathProof:
        """See the contract."""
        try:
            vault = self._read()
        except Transient as error:
            return DeathProof(Death.INCONCLUSIVE, error.reason)
        state = vault["entities"].get(handle.entity)
        if state is None:
            return DeathProof(Death.INCONCLUSIVE, "the epoch has no tombstone")
        alive = state == "enabled" or any(a in vault["tokens"] for a in accessors)
        return DeathProof(Death.ALIVE if alive else Death.DEAD, f"lookup of the entity and {len(accessors)} accessors")

    def inventory(self) -> tuple[str, ...]:
        """See the contract."""
        return tuple(sorted(self._read()["entities"]))
