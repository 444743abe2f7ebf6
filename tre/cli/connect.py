"""From the command line to the client, and the options that every command shares."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tre.client.in_process import InProcess
    from tre.wiring import House

Json = Annotated[bool, typer.Option("--json", help="Print JSON (fields: docs/reference/views.md).")]
Reason = Annotated[str, typer.Option("--reason", help="Why: it is kept in the record.")]
Member = Annotated[str | None, typer.Option("--member", help="A person of the permit, by person_id.")]


def house() -> "House":
    """The installation's live objects."""
    from tre import settings, wiring

    return wiring.house(settings.load())


def client() -> "InProcess":
    """The client of this installation."""
    return house().client


def read(file: Path) -> bytes:
    """A file's bytes, ``-`` for standard input; at most 8 MiB."""
    import sys

    limit = 8 << 20
    data = sys.stdin.buffer.read(limit + 1) if str(file) == "-" else file.read_bytes()
    if len(data) > limit:
        raise typer.BadParameter(f"{file} is larger than {limit} bytes")
    return data
