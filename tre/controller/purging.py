"""The end: the lock proved, the hold waited out, the purge scanned by other eyes, the certificate signed."""

from datetime import datetime, timedelta

from tre.audit import certificate
from tre.contracts.driver import Driver
from tre.contracts.errors import ContractError
from tre.contracts.store import Reader
from tre.controller.ports import Again, Answer, Done, Ports
from tre.dossier.files import WorkspaceFile
from tre.model.canonical import Json, sha256_hex
from tre.model.facts import Certificate, LockProved, Purged, Residue
from tre.model.instants import add_months, format_instant
from tre.model.observed import Unknown
from tre.model.record import AuditEntry, RecordKind
from tre.planning.lifecycle import Standing, with_purge

LATEST_MONTHS = 6
"""EHDS Article 68(12): data in the environment is deleted within six months of expiry."""


class Purger:
    """Decides when a workspace may go, and certifies that it went."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def purge_at(self, file: WorkspaceFile, standing: Standing | None = None) -> datetime | None:
        """The instant of the purge: the profile's hold after the end, never past six calendar months (TDN-02)."""
        standing = standing or file.standing(self._ports.clock.now())
        if standing.over_since is None:
            return None
        due = standing.over_since + timedelta(days=file.profile.hold_days)
        return min(due, add_months(standing.over_since, LATEST_MONTHS))

    def standing(self, file: WorkspaceFile, now: datetime) -> Standing:
        """The workspace's standing, its purge considered. A purge is due only after a proved lock."""
        standing = file.standing(now)
        purge_at = self.purge_at(file, standing) if file.lock_proved else None
        return with_purge(standing, purge_at=purge_at, purged=file.purged is not None, now=now)

    def note_lock(self, file: WorkspaceFile, now: datetime) -> None:
        """Keep the fact that the lock for good is proved."""
        workspace = file.workspace.ref.workspace
        with self._ports.store.begin() as uow:
            if uow.add(LockProved(workspace, now)):
                uow.record(AuditEntry(RecordKind.LOCK_PROVED, "controller", workspace, {}))

    def certify(self, driver: Driver, file: WorkspaceFile) -> Answer:
        """Have the residue looked for, then sign the certificate. Repeatable."""
        retry = self._ports.intervals.retry_s
        try:
            if file.epochs.dying():
                return Again(retry, "credentials are not all proved dead yet")
            found = self._scan(file)
            if isinstance(found, Unknown):
                return Again(retry, f"the residue scan cannot tell: {found.cause}")
            if found:
                return Again(max(retry, 60.0), f"residue: {found[0].kind} {found[0].value} ({found[0].detail})")
            self._sign(driver, file)
        except ContractError as error:
            return Again(retry, error.reason)
        return Done()

    def _scan(self, file: WorkspaceFile) -> tuple[Residue, ...] | Unknown:
        workspace = file.workspace.ref.workspace
        scanner = self._ports.scanners[file.workspace.ref.backend]
        found = scanner.scan(file.footprint)
        detail: dict[str, Json] = {"by": scanner.identity(), "looked_at": len(file.footprint.items)}
        if isinstance(found, Unknown):
            detail["unknown"] = found.cause
        else:
            detail["residue"] = [f"{r.kind} {r.value}: {r.detail}" for r in found]
        with self._ports.store.begin() as uow:
            uow.record(AuditEntry(RecordKind.RESIDUE_SCANNED, "residue", workspace, detail))
        return found

    def _sign(self, driver: Driver, file: WorkspaceFile) -> None:
        workspace = file.workspace.ref.workspace
        now = self._ports.clock.now()
        with self._ports.store.read() as reader:
            body = self._body(driver, file, reader, now)
        signed = certificate.sign(body, self._ports.signer.sign)
        with self._ports.store.begin() as uow:
            digest = uow.put_blob(signed.raw)
            uow.add(Certificate(workspace, digest, now))
            uow.add(Purged(workspace, digest, now))
            uow.record(AuditEntry(RecordKind.CERTIFIED, "controller", workspace, {"certificate": digest}))
            uow.record(AuditEntry(RecordKind.PURGED, "controller", workspace, {}))

    def _body(self, driver: Driver, file: WorkspaceFile, reader: Reader, now: datetime) -> dict[str, Json]:
        ref, head = file.workspace.ref, file.permit.head
        standing = file.standing(now)
        removed = self._removed(reader, ref.workspace)
        chain = reader.head()
        proved = file.lock_proved
        return {
            "installation": ref.installation,
            "workspace": {"id": ref.workspace, "backend": ref.backend, "generation": ref.generation},
            "permit": {
                "issuer": file.permit.key.issuer,
                "lineage": file.permit.key.lineage,
                "permit_id": head.permit_id,
                "version": head.version,
                "sha256": head.raw_digest,
            },
            "profile": file.profile.name,
            "real_data_allowed": file.profile.real_data,
            "hold_days": file.profile.hold_days,
            "policy_bundle": self._ports.dossier.bundle.digest,
            "datasets": [
                {"dataset_id": g.dataset_id, "name": g.dataset.name, "manifest_sha256": g.dataset.manifest_digest}
                for g in file.data
                if g.dataset
            ],
            "over_since": format_instant(standing.over_since) if standing.over_since else None,
            "over_because": standing.sentence,
            "lock_proved_at": format_instant(proved.at) if proved else None,
            "removed": [{"step": step, "names": names} for step, names in removed.items()],
            "unreleased_exports_destroyed": any("export/" in name for names in removed.values() for name in names),
            "credentials_dead": [
                {"slot": d.slot, "epoch": d.epoch, "method": d.method, "at": format_instant(d.at)}
                for d in file.epochs.dead
            ],
            "credential_tombstones": [file.handle(e.slot, e.epoch).entity for e in file.epochs.opened],
            "method": "unlinked by the driver; dataset sources are only unmounted, never deleted",
            "verified": {
                "by": self._ports.scanners[ref.backend].identity(),
                "at": format_instant(now),
                "looked_at": [f"{i.kind} {i.value}" for i in file.footprint.items],
                "residue": [],
            },
            "not_covered": [
                *driver.describe().sentences,
                "backups and snapshots that the site makes of its own disks",
                "blocks on the medium: files are unlinked, the medium is not overwritten",
            ],
            "record": {"sequence": chain.sequence, "hash": chain.hash},
            "issued_at": format_instant(now),
            "nonce": sha256_hex(f"{ref.mark}{chain.hash}".encode())[:16],
        }

    @staticmethod
    def _removed(reader: Reader, workspace: str) -> dict[str, list[str]]:
        """What really went, by instant and step, from the outcomes in the record."""
        found: dict[str, list[str]] = {}
        for record in reader.records(subject=workspace):
            names = record.detail.get("removed") if record.kind is RecordKind.OUTCOME else None
            if isinstance(names, list) and names:
                key = f"{format_instant(record.at)} {record.sequence} {record.detail.get('what')}"
                found[key] = [str(name) for name in names]
        return found
