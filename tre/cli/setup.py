"""`tre init` and `tre doctor`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tre.cli.connect import Json, client, read
from tre.cli.exits import Exit
from tre.cli.output import fields, stop, table, tell

if TYPE_CHECKING:
    from tre.model.facts import TrustPurpose
    from tre.operations.trust import NewTrust


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(init)
    app.command()(doctor)


def init(
    *,
    issuer: Annotated[list[str] | None, typer.Option(help="FILE=ID[=PROFILE]: an issuer's public key and id.")] = None,
    approver: Annotated[list[str] | None, typer.Option(help="FILE=PERSON: an approver's public key. Give two.")] = None,
    auditor: Annotated[list[str] | None, typer.Option(help="FILE=PERSON: an auditor's public key.")] = None,
    json: Json = False,
) -> None:
    """Make an installation: store, vault, keys, the first trust set. Run it again after an interruption.

    Example: tre init --issuer hdab.pub=https://permits.example=local --approver a.pub=anna --approver b.pub=ben
    """
    from tre.model.facts import TrustPurpose

    trusted = [_new(TrustPurpose.ISSUER, text) for text in issuer or ()]
    trusted += [_new(TrustPurpose.APPROVER, text) for text in approver or ()]
    trusted += [_new(TrustPurpose.AUDITOR, text) for text in auditor or ()]
    fields(client().init(trusted, tell), as_json_too=json)


def _new(purpose: "TrustPurpose", text: str) -> "NewTrust":
    from tre.operations.trust import NewTrust

    file, _, rest = text.partition("=")
    holder, _, profile = rest.rpartition("=") if rest.count("=") else (rest, "", "")
    if not holder:
        raise typer.BadParameter(f"{text}: give FILE=ID")
    return NewTrust(purpose, read(Path(file)), holder, profiles=(profile,) if profile else ())


def doctor(*, json: Json = False) -> None:
    """Say what is missing or weak on this machine, and the command that mends it. Exit status 3 if anything is."""
    rows = client().doctor()
    table(rows, {"check": "check", "state": "state", "text": "what", "hint": "mend"}, as_json_too=json)
    if any(r["state"] == "missing" for r in rows):
        stop(Exit.MISSING)
