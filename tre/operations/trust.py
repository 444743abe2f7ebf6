"""Whose word counts: trust entries and their revocation."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tre.contracts.store import UnitOfWork
from tre.model.facts import PermitVersion, TrustEntry, TrustPurpose, TrustRevoked
from tre.model.instants import format_instant
from tre.model.record import RecordKind
from tre.operations.desk import Denied, Desk, NotFound
from tre.policy import jws

DEFAULT_DAYS: Final = 3650


@dataclass(frozen=True, slots=True)
class NewTrust:
    """A key to be trusted, and for what."""

    purpose: TrustPurpose
    public_pem: bytes
    holder: str
    profiles: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    longest_days: int | None = None
    valid_until: datetime | None = None


class Trust:
    """Adds and revokes keys."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add(self, uow: UnitOfWork, new: NewTrust) -> TrustEntry:
        """Trust a key, inside the caller's transaction (init, or an approved act)."""
        entry = self.entry(new)
        for other in uow.facts(TrustEntry):
            if other.purpose is entry.purpose and other.holder == entry.holder and other.kid != entry.kid:
                continue
            if other.kid == entry.kid:
                raise Denied(f"the key {entry.kid} is trusted already, as {other.purpose} of {other.holder}")
        uow.add(entry)
        self._desk.note(uow, RecordKind.TRUST_ADDED, entry.kid, purpose=entry.purpose.value, holder=entry.holder)
        return entry

    def entry(self, new: NewTrust) -> TrustEntry:
        """The entry as it would be added. Denied for a key that is not EC P-256 or Ed25519."""
        try:
            kid, algorithm, pem = jws.inspect(new.public_pem)
        except ValueError as error:
            raise Denied(f"not a usable public key: {error}", "tre key new makes one") from error
        now = self._desk.clock.now()
        return TrustEntry(
            kid=kid,
            purpose=new.purpose,
            algorithm=algorithm,
            public_key=pem,
            holder=new.holder,
            profiles=new.profiles,
            datasets=new.datasets,
            longest_days=new.longest_days,
            valid_from=now.replace(microsecond=0) - timedelta(days=DEFAULT_DAYS),
            valid_until=new.valid_until or now.replace(microsecond=0) + timedelta(days=DEFAULT_DAYS),
            added_by=self._desk.principal,
            at=now,
        )

    def entries(self) -> tuple[tuple[TrustEntry, TrustRevoked | None], ...]:
        """Every key, with its revocation if there is one."""
        with self._desk.store.read() as reader:
            revoked = {r.kid: r for r in reader.facts(TrustRevoked)}
            return tuple((e, revoked.get(e.kid)) for e in reader.facts(TrustEntry))

    def revoke(self, kid: str, compromised_since: datetime | None) -> TrustRevoked:
        """Trust a key no longer, at once and with one operator. What was received from it since is suspended."""
        with self._desk.store.begin() as uow:
            if uow.fact(TrustEntry, kid) is None:
                raise NotFound(f"no trusted key {kid!r}")
            if uow.fact(TrustRevoked, kid):
                raise Denied(f"the key {kid} is revoked already")
            fact = TrustRevoked(kid, compromised_since, self._desk.principal, self._desk.clock.now())
            uow.add(fact)
            since = format_instant(compromised_since) if compromised_since else None
            self._desk.note(uow, RecordKind.TRUST_REVOKED, kid, compromised_since=since)
            touched = {v.permit for v in uow.facts(PermitVersion) if v.kid == kid}
        for key in touched:
            self._desk.poke(key)
        return fact
