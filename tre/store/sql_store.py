"""The store over SQLAlchemy Core."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from tre.audit.chain import checkpoint_line, link, read
from tre.contracts.clock import Clock
from tre.contracts.store import Conflict, Fact, FenceToken, StoreUnavailable
from tre.model.canonical import Json, sha256_hex
from tre.model.facts import WorkspaceStatus
from tre.model.record import GENESIS, AuditEntry, AuditRecord, ChainHead, Checkpoint, RecordKind
from tre.store import tables as t
from tre.store.engine import make_engine, migrate, transaction
from tre.store.kinds import KINDS, adapter, dump, kind_of
from tre.store.outside import Marks, OutsideLog

F = TypeVar("F", bound=Fact)
_LEASE: Final = "controller"
_FENCE_BITS: Final = 32


class SqlReader:
    """A consistent view over one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def facts(self, kind: type[F], key: str | None = None) -> tuple[F, ...]:
        """See `tre.contracts.store.Reader`."""
        query = select(t.facts.c.body).where(t.facts.c.kind == kind.fact).order_by(t.facts.c.sequence)
        if key is not None:
            query = query.where(t.facts.c.key == key)
        read_body = adapter(kind).validate_json
        return tuple(read_body(body) for (body,) in self._c.execute(query))

    def fact(self, kind: type[F], identity: str) -> F | None:
        """See `tre.contracts.store.Reader`."""
        query = select(t.facts.c.body).where(t.facts.c.kind == kind.fact, t.facts.c.identity == identity)
        body = self._c.execute(query).scalar()
        return None if body is None else adapter(kind).validate_json(body)

    def status(self, workspace: str) -> WorkspaceStatus | None:
        """See `tre.contracts.store.Reader`."""
        body = self._c.execute(select(t.statuses.c.body).where(t.statuses.c.workspace == workspace)).scalar()
        return None if body is None else adapter(WorkspaceStatus).validate_json(body)

    def statuses(self) -> dict[str, WorkspaceStatus]:
        """See `tre.contracts.store.Reader`."""
        rows = self._c.execute(select(t.statuses.c.workspace, t.statuses.c.body))
        return {workspace: adapter(WorkspaceStatus).validate_json(body) for workspace, body in rows}

    def blob(self, digest: str) -> bytes | None:
        """See `tre.contracts.store.Reader`."""
        data = self._c.execute(select(t.blobs.c.data).where(t.blobs.c.digest == digest)).scalar()
        if data is None:
            return None
        if sha256_hex(data) != digest:
            raise StoreUnavailable(f"the blob {digest} was changed")
        return bytes(data)

    def setting(self, name: str) -> Json:
        """See `tre.contracts.store.Reader`."""
        value = self._c.execute(select(t.settings.c.value).where(t.settings.c.name == name)).scalar()
        found: Json = None if value is None else json.loads(value)
        return found

    def head(self) -> ChainHead:
        """See `tre.contracts.store.Reader`."""
        query = select(t.records.c.sequence, t.records.c.hash).order_by(t.records.c.sequence.desc()).limit(1)
        row = self._c.execute(query).first()
        return ChainHead(row.sequence, row.hash) if row else ChainHead(0, GENESIS)

    def lines(self, after: int = 0, limit: int | None = None, subject: str | None = None) -> Iterator[bytes]:
        """The canonical lines of the record, ascending."""
        query = select(t.records.c.line).where(t.records.c.sequence > after).order_by(t.records.c.sequence)
        if subject is not None:
            query = query.where(t.records.c.subject == subject)
        if limit is not None:
            query = query.limit(limit)
        for (line,) in self._c.execute(query):
            yield bytes(line)

    def records(self, after: int = 0, limit: int | None = None, subject: str | None = None) -> Iterator[AuditRecord]:
        """See `tre.contracts.store.Reader`."""
        return (read(line) for line in self.lines(after, limit, subject))

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """See `tre.contracts.store.Reader`."""
        query = select(t.checkpoints.c.body).order_by(t.checkpoints.c.sequence)
        return tuple(adapter(Checkpoint).validate_json(body) for (body,) in self._c.execute(query))


@dataclass(slots=True)
class _Changes:
    """What a transaction did that the outside log must know."""

    counters: dict[str, int] = field(default_factory=dict)
    facts: list[tuple[str, str, str]] = field(default_factory=list)
    recorded: bool = False
    epoch: int | None = None

    def any(self) -> bool:
        return bool(self.counters or self.facts or self.recorded or self.epoch is not None)


class SqlUnit(SqlReader):
    """One write transaction."""

    def __init__(self, connection: Connection, clock: Clock, marks: Marks) -> None:
        super().__init__(connection)
        self._clock = clock
        self._marks = marks
        self._head: ChainHead | None = None
        self.changes = _Changes()

    def add(self, fact: Fact) -> bool:
        """See `tre.contracts.store.UnitOfWork`."""
        kind, body = kind_of(fact), dump(fact)
        key, identity = kind.key(fact), kind.identity(fact)
        query = select(t.facts.c.body).where(t.facts.c.kind == fact.fact, t.facts.c.identity == identity)
        existing = self._c.execute(query).scalar()
        if existing is not None:
            if existing == body:
                return False
            raise Conflict(f"{fact.fact} {identity} exists with another content")
        self._c.execute(insert(t.facts).values(kind=fact.fact, key=key, identity=identity, body=body))
        if kind.witnessed(fact):
            self.changes.facts.append((fact.fact, identity, body))
        return True

    def allocate(self, counter: str) -> int:
        """See `tre.contracts.store.UnitOfWork`."""
        current = self._c.execute(select(t.counters.c.value).where(t.counters.c.name == counter)).scalar() or 0
        value = max(int(current), self._marks.counters.get(counter, 0)) + 1
        self._set_counter(counter, value)
        return value

    def _set_counter(self, counter: str, value: int) -> None:
        statement = upsert(t.counters).values(name=counter, value=value)
        self._c.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": value}))
        self.changes.counters[counter] = value

    def put_status(self, status: WorkspaceStatus) -> None:
        """See `tre.contracts.store.UnitOfWork`."""
        body = dump(status)
        statement = upsert(t.statuses).values(workspace=status.workspace, body=body)
        self._c.execute(statement.on_conflict_do_update(index_elements=["workspace"], set_={"body": body}))

    def put_blob(self, data: bytes) -> str:
        """See `tre.contracts.store.UnitOfWork`."""
        digest = sha256_hex(data)
        self._c.execute(upsert(t.blobs).values(digest=digest, data=data).on_conflict_do_nothing())
        return digest

    def put_setting(self, name: str, value: Json) -> None:
        """See `tre.contracts.store.UnitOfWork`."""
        text = json.dumps(value)
        statement = upsert(t.settings).values(name=name, value=text)
        self._c.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": text}))

    def put_checkpoint(self, checkpoint: Checkpoint) -> None:
        """See `tre.contracts.store.UnitOfWork`."""
        statement = upsert(t.checkpoints).values(sequence=checkpoint.sequence, body=dump(checkpoint))
        self._c.execute(statement.on_conflict_do_nothing())

    def record(self, entry: AuditEntry) -> AuditRecord:
        """See `tre.contracts.store.UnitOfWork`."""
        record, line = link(entry, self.head(), self._clock.now())
        values = {"sequence": record.sequence, "subject": record.subject, "hash": record.hash, "line": line}
        self._c.execute(insert(t.records).values(values))
        self._head = ChainHead(record.sequence, record.hash)
        self.changes.recorded = True
        return record

    def head(self) -> ChainHead:
        """See `tre.contracts.store.Reader`; cached, since only this unit writes."""
        if self._head is None:
            self._head = super().head()
        return self._head

    def open_effect(self, workspace: str, what: str, fence: int, record: int) -> int:
        """Remember an intent without an outcome."""
        values = {"workspace": workspace, "what": what, "fence": fence, "record": record}
        result = self._c.execute(insert(t.effects).values(values))
        return int(result.inserted_primary_key[0])  # type: ignore[index]  # one integer key

    def close_effect(self, effect: int) -> None:
        """Its outcome is recorded."""
        self._c.execute(delete(t.effects).where(t.effects.c.effect == effect))

    def open_effects(self) -> tuple[tuple[int, str, str, int], ...]:
        """(effect, workspace, what, intent's record) of every intent without an outcome."""
        columns = (t.effects.c.effect, t.effects.c.workspace, t.effects.c.what, t.effects.c.record)
        return tuple((r[0], r[1], r[2], r[3]) for r in self._c.execute(select(*columns)))

    def restore_witnessed(self, marks: Marks) -> int:
        """Bring back facts and counters that the outside log has and the store has not; how many facts."""
        restored = 0
        for (kind, identity), body in marks.witnessed.items():
            cls = KINDS[kind].cls
            if self.fact(cls, identity) is None:
                self.add(adapter(cls).validate_json(body))
                restored += 1
        for name, value in marks.counters.items():
            current = self._c.execute(select(t.counters.c.value).where(t.counters.c.name == name)).scalar() or 0
            if int(current) < value:
                self._set_counter(name, value)
        return restored

    def missing_from(self, marks: Marks) -> None:
        """Note for the outside log every witnessed fact and counter that it lacks."""
        for kind in KINDS.values():
            for fact in self.facts(kind.cls):
                identity = kind.identity(fact)
                if kind.witnessed(fact) and (fact.fact, identity) not in marks.witnessed:
                    self.changes.facts.append((fact.fact, identity, dump(fact)))
        for name, value in self._c.execute(select(t.counters.c.name, t.counters.c.value)):
            if value > marks.counters.get(name, 0):
                self.changes.counters[name] = int(value)


class SqlStore:
    """The one place where anything is remembered. Build with `open_store`."""

    def __init__(self, database: Path, outside: OutsideLog, checkpoints_file: Path, clock: Clock) -> None:
        self._engine = make_engine(database)
        self._outside = outside
        self._checkpoints_file = checkpoints_file
        self._clock = clock
        self._unsent = _Changes()
        self._marks = Marks()
        self._recovery: str | None = None
        self.crash_point: Callable[[str], None] = lambda _where: None
        """Called around every commit and effect; tests crash here. Does nothing by itself."""

    def open(self) -> None:
        """Migrate, and compare with the log outside."""
        migrate(self._engine)
        self._marks = self._outside.read()
        with transaction(self._engine, write=True) as connection:
            unit = SqlUnit(connection, self._clock, self._marks)
            self._recovery = self._behind(unit)
            if self._recovery is None and self._marks.sequence < unit.head().sequence:
                unit.missing_from(self._marks)
                unit.changes.recorded = True
                self._tell(unit)

    def _behind(self, unit: SqlUnit) -> str | None:
        marks = self._marks
        if marks.sequence == 0:
            return None
        incarnation = int(str(unit.setting("incarnation") or 0))
        if unit.head().sequence < marks.sequence or incarnation < marks.incarnation:
            return f"the store ends at record {unit.head().sequence}, the log outside at {marks.sequence}"
        at_mark = next(unit.records(after=marks.sequence - 1, limit=1), None)
        if at_mark is None or at_mark.hash != marks.hash:
            return f"record {marks.sequence} is not the one the log outside knows"
        return None

    @contextmanager
    def begin(self) -> Iterator[SqlUnit]:
        """See `tre.contracts.store.Store`."""
        with transaction(self._engine, write=True) as connection:
            unit = SqlUnit(connection, self._clock, self._marks)
            yield unit
            if unit.changes.any():
                unit.head()  # the connection is gone when the log outside is told
            self.crash_point("before-commit")
        self.crash_point("after-commit-before-outside")
        with self._outside_lock():
            self._tell(unit)
        self.crash_point("after-commit")

    @contextmanager
    def _outside_lock(self) -> Iterator[None]:
        """Writers of the outside log wait for each other, in this process and in others."""
        with transaction(self._engine, write=True):
            yield

    def _tell(self, unit: SqlUnit) -> None:
        """Write what changed to the log outside; what could not be written goes with the next line."""
        self._unsent.facts += unit.changes.facts
        self._unsent.counters.update(unit.changes.counters)
        self._unsent.recorded |= unit.changes.recorded
        if unit.changes.epoch is not None:
            self._unsent.epoch = unit.changes.epoch
        if not self._unsent.any() or self._recovery is not None:
            return
        head, incarnation = unit.head(), self._marks.incarnation
        line = {
            "seq": head.sequence,
            "hash": head.hash,
            "incarnation": incarnation,
            "epoch": self._unsent.epoch or self._marks.epoch,
            "counters": self._unsent.counters,
            "facts": [list(f) for f in self._unsent.facts],
        }
        self._outside.append(line)
        self._marks.take(line)
        self._unsent = _Changes()

    @contextmanager
    def read(self) -> Iterator[SqlReader]:
        """See `tre.contracts.store.Store`."""
        with transaction(self._engine, write=False) as connection:
            yield SqlReader(connection)

    def acquire_lease(self, holder: str, ttl_s: float) -> FenceToken | None:
        """See `tre.contracts.store.Store`."""
        now, (boot_id, boot_s) = self._clock.now().timestamp(), self._clock.boot()
        with self.begin() as unit:
            row = unit._c.execute(select(t.lease).where(t.lease.c.name == _LEASE)).first()  # noqa: SLF001  # same module
            free = row is None or row.holder == holder or not _held(row, now, boot_id, boot_s)
            if not free:
                return None
            same = row is not None and row.holder == holder and _held(row, now, boot_id, boot_s)
            epoch = row.epoch if same and row is not None else max(row.epoch if row else 0, self._marks.epoch) + 1
            values = {
                "holder": holder,
                "epoch": epoch,
                "boot_id": boot_id,
                "expires_wall": now + ttl_s,
                "expires_boot": boot_s + ttl_s,
            }
            statement = upsert(t.lease).values(name=_LEASE, **values)
            unit._c.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))  # noqa: SLF001  # same module
            if not same:
                unit.changes.epoch = epoch
        fence = (self._marks.incarnation << _FENCE_BITS) | epoch
        return FenceToken(fence, holder, boot_s + ttl_s)

    def release_lease(self, token: FenceToken) -> None:
        """See `tre.contracts.store.Store`."""
        with transaction(self._engine, write=True) as connection:
            gone = update(t.lease).where(t.lease.c.name == _LEASE, t.lease.c.holder == token.holder)
            connection.execute(gone.values(expires_wall=0.0, expires_boot=0.0))

    def holds_lease(self, token: FenceToken) -> bool:
        """Whether the token's holder still leads, by the store's own row."""
        now, (boot_id, boot_s) = self._clock.now().timestamp(), self._clock.boot()
        with transaction(self._engine, write=False) as connection:
            row = connection.execute(select(t.lease).where(t.lease.c.name == _LEASE)).first()
        epoch = token.fence & ((1 << _FENCE_BITS) - 1)
        return (
            row is not None and row.holder == token.holder and row.epoch == epoch and _held(row, now, boot_id, boot_s)
        )

    def current_fence(self) -> int:
        """The fence of whoever leads or led last."""
        with transaction(self._engine, write=False) as connection:
            epoch = connection.execute(select(t.lease.c.epoch).where(t.lease.c.name == _LEASE)).scalar() or 0
        return (self._marks.incarnation << _FENCE_BITS) | max(int(epoch), self._marks.epoch)

    def poke(self, workspace: str) -> None:
        """See `tre.contracts.store.Store`."""
        with transaction(self._engine, write=True) as connection:
            connection.execute(upsert(t.pokes).values(workspace=workspace).on_conflict_do_nothing())

    def take_pokes(self) -> tuple[str, ...]:
        """See `tre.contracts.store.Store`."""
        with transaction(self._engine, write=False) as connection:
            if not connection.execute(select(func.count()).select_from(t.pokes)).scalar():
                return ()
        with transaction(self._engine, write=True) as connection:
            found = tuple(w for (w,) in connection.execute(select(t.pokes.c.workspace)))
            connection.execute(delete(t.pokes).where(t.pokes.c.workspace.in_(found)))
        return found

    def in_recovery(self) -> str | None:
        """See `tre.contracts.store.Store`."""
        return self._recovery

    def keep_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in the store and, as one durable line, in the file outside it."""
        with self.begin() as unit:
            unit.put_checkpoint(checkpoint)
        try:
            with self._checkpoints_file.open("ab") as file:
                file.write(checkpoint_line(checkpoint) + b"\n")
                file.flush()
        except OSError as error:
            raise StoreUnavailable(f"the checkpoint file cannot be written: {error.strerror}") from error

    def reconcile(self, actor: str) -> int:
        """Leave recovery: bring back what the log outside witnessed, as a new incarnation. How many facts came back."""
        if self._recovery is None:
            return 0
        why, self._marks = self._recovery, self._outside.read()
        incarnation = self._marks.incarnation + 1
        self._recovery = None
        with self.begin() as unit:
            restored = unit.restore_witnessed(self._marks)
            unit.put_setting("incarnation", incarnation)
            detail: dict[str, Json] = {"reconciled": why, "restored": restored, "incarnation": incarnation}
            unit.record(AuditEntry(RecordKind.STORE, actor, "store", detail))
            self._marks.incarnation, self._marks.sequence = incarnation, 0
            unit.missing_from(Marks())
        return restored

    def backup(self, target: Path) -> None:
        """A consistent copy of the database, made while it is in use."""
        if target.exists():
            raise StoreUnavailable(f"{target} exists already")
        with self._engine.connect() as connection:
            connection.exec_driver_sql("VACUUM INTO ?", (str(target),))
        target.chmod(0o600)

    def close(self) -> None:
        """Let go of the files."""
        self._engine.dispose()


def _held(row: Any, now: float, boot_id: str, boot_s: float) -> bool:
    """Within one boot by boot time, which nobody sets; across a boot the holder is gone with it."""
    if row.boot_id == boot_id:
        return bool(row.expires_boot > boot_s)
    return bool(row.expires_wall > now)


def open_store(database: Path, outside_log: Path, checkpoints_file: Path, clock: Clock) -> SqlStore:
    """Open (and make, and migrate) a store. StoreUnavailable when it is newer than the code or damaged."""
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = SqlStore(database, OutsideLog(outside_log), checkpoints_file, clock)
    store.open()
    database.chmod(0o600)
    return store
