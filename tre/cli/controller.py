"""`tre controller`: the process that keeps workspaces as they must be."""

from typing import Annotated

import typer

from tre.cli.connect import Json, client, house
from tre.cli.output import table, tell

app = typer.Typer(help="The controller.", no_args_is_help=True)


@app.command()
def run(
    *,
    once: Annotated[bool, typer.Option("--once", help="Run passes until everything rests, then end.")] = False,
    json: Json = False,
) -> None:
    """Lead when nobody else does, and look at whatever is due, until stopped."""
    if once:
        columns = {"workspace": "workspace", "phase": "phase", "ends_at": "ends", "sentences": "notes"}
        table(client().controller_once(120.0), columns, as_json_too=json)
        return
    import signal
    from threading import Event

    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    tell("controller runs; Ctrl-C ends it")
    house().controller.run(stop)


@app.callback()
def _group() -> None:
    """The controller."""
