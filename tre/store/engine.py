"""The database: connection, durability, migrations. One place for everything that is SQLite's."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event
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


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def migrate(engine: Engine) -> None:
    """Bring the schema to this version of the code. A schema newer than the code is refused."""
    config = _config()
    scripts = ScriptDirectory.from_config(config)
    with transaction(engine, write=True) as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        if current == scripts.get_current_head():
            return
        known = {s.revision for s in scripts.walk_revisions()}
        if current is not None and current not in known:
            raise StoreUnavailable(f"the store has schema {current}, which is newer than this version of tre")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
