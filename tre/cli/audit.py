"""`tre audit`: the record."""

from pathlib import Path
from typing import Annotated

import typer

from tre.cli.connect import Json, client
from tre.cli.exits import Exit
from tre.cli.output import as_json, fields, progress, stop, table

app = typer.Typer(help="The record.", no_args_is_help=True)


@app.command()
def show(
    subject: Annotated[str | None, typer.Argument(help="A workspace, permit, dataset or key.")] = None,
    *,
    limit: Annotated[int, typer.Option(help="How many, from the end.")] = 50,
    json: Json = False,
) -> None:
    """The last records."""
    columns = {"sequence": "no", "at": "at", "kind": "kind", "actor": "by", "subject": "about", "detail": "detail"}
    table(client().audit_show(subject, limit), columns, as_json_too=json)


@app.command()
def export(file: Annotated[Path, typer.Argument(help="Where to.")], *, json: Json = False) -> None:
    """Write the record to a file that can be verified offline."""
    fields(client().audit_export(file), as_json_too=json)


@app.command()
def verify(
    file: Annotated[Path | None, typer.Argument(help="An export; our own record when not given.")] = None,
    *,
    strict: Annotated[bool, typer.Option("--strict", help="No checkpoint from outside is a failure.")] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Hash the side texts again (own record only).")] = False,
    checkpoints: Annotated[Path | None, typer.Option(help="Checkpoints kept outside the store.")] = None,
    key: Annotated[list[str] | None, typer.Option(help="NAME=FILE: a trusted checkpoint key.")] = None,
    json: Json = False,
) -> None:
    """Verify a record. A file needs no installation. Exit status 8 when it does not verify."""
    with progress("verifying") as bar:
        if file is None:
            view = client().audit_verify(strict=strict, deep=deep, progress=lambda n: bar(n, None))
        else:
            view = _offline(file, strict=strict, checkpoints=checkpoints, keys=key or [])
    fields(view, as_json_too=json)
    if not view["ok"]:
        stop(Exit.UNVERIFIED)


def _offline(file: Path, *, strict: bool, checkpoints: Path | None, keys: list[str]) -> dict:  # type: ignore[type-arg]  # a view
    from tre.audit.chain import read_checkpoint
    from tre.audit.export import verify as verify_export
    from tre.client.in_process import verdict_view

    outside = [read_checkpoint(x) for x in checkpoints.read_bytes().splitlines() if x] if checkpoints else []
    trusted = {name: Path(path).read_text("ascii") for name, _, path in (k.partition("=") for k in keys)}
    with file.open("rb") as source:
        lines = (line.rstrip(b"\n") for line in source)
        return verdict_view(verify_export(lines, outside=outside, keys=trusted or None, strict=strict))


@app.command()
def keys(*, name: Annotated[str | None, typer.Option(help="Print this key's PEM alone.")] = None) -> None:
    """The public keys of checkpoints and certificates."""
    import sys

    found = client().audit_keys()
    if name is None:
        as_json(found)
        return
    if name not in found:
        raise typer.BadParameter(f"one of {', '.join(found)}")
    sys.stdout.write(found[name])
