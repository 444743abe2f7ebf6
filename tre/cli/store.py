"""`tre store`: backup, restore, reconcile."""

from pathlib import Path
from typing import Annotated

import typer

from tre.cli.connect import Json, client, house
from tre.cli.output import fields, tell

app = typer.Typer(help="The store.", no_args_is_help=True)


@app.command()
def backup(file: Annotated[Path, typer.Argument(help="Where to; must not exist.")], *, json: Json = False) -> None:
    """Make a consistent copy while everything runs."""
    fields(client().store_backup(file), as_json_too=json)


@app.command()
def restore(file: Annotated[Path, typer.Argument(help="A backup.")]) -> None:
    """Put a backup in place of the store. What ended meanwhile stays ended: the store starts in recovery."""
    import shutil

    database = house().settings.database
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    kept = database.with_name("tre.db.before-restore")
    if database.exists():
        database.rename(kept)
    shutil.copyfile(file, database)
    database.chmod(0o600)
    tell(f"restored; the store before is {kept.name}. Now: tre store reconcile")


@app.command()
def reconcile(*, json: Json = False) -> None:
    """Leave recovery: what the log outside the store witnessed comes back, as a new incarnation."""
    fields(client().store_reconcile(), as_json_too=json)
