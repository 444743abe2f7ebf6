"""The database: connection, durability, migrations. One place for everything that is SQLite's."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DatabaseError, OperationalError

from tre.contracts.store import StoreUnavailable

BUSY_S: Final = 10.0


def make_engine(database: Path) -> Engine:
    """An engine over the file: WAL, every commit on disk before it is answered, writers wait `BUSY_S`."""
    engine = create_engine(f"sqlite:///{database}", connect_args={"timeout": BUSY_S, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


@contextmanager
def transaction(engine: Engine, *, write: bool) -> Iterator[Connection]:
    """One transaction; StoreUnavailable when the database is locked, full, read-only or torn."""
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
            try:
                yield connection
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise
            connection.exec_driver_sql("COMMIT")
    except (OperationalError, DatabaseError) as error:
        raise StoreUnavailable(f"the store did not answer: {error.orig}") from error


def migrate(engine: Engine) -> None:
    """Bring the schema to this version of the code. A schema newer than the code is refused."""
    folder = Path(__file__).parent / "migrations"
    known = sorted(f.name.partition("_")[0] for f in (folder / "versions").glob("[0-9]*.py"))
    with transaction(engine, write=False) as connection:
        current = _revision(connection)
    if current == known[-1]:
        return  # the usual case: Alembic need not even be imported
    if current is not None and current not in known:
        raise StoreUnavailable(f"the store has schema {current}, which is newer than this version of tre")
    _upgrade(engine, folder)


def _revision(connection: Connection) -> str | None:
    """What Alembic wrote into the database; None in a new one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return str(found) if found is not None else None


def _upgrade(engine: Engine, folder: Path) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(folder))
    with transaction(engine, write=True) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
