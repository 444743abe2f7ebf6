"""The program: commands gathered, errors turned into exit statuses."""

import os
import signal
import sys

import typer

from tre.cli import (
    approval,
    audit,
    backend,
    certificate,
    controller,
    dataset,
    hold,
    key,
    member,
    permit,
    policy,
    session,
    setup,
    store,
    trust,
    vault,
    workspace,
)
from tre.cli.exits import Exit, explain
from tre.cli.output import refuse

app = typer.Typer(
    name="tre",
    help="Carries a permit to use sensitive data from approval to a proved deletion.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (setup, workspace):
    module.register(app)
for noun in (
    approval, audit, backend, certificate, controller, dataset, hold, key, member, permit, policy, session, store,
    trust, vault,
):  # fmt: skip
    app.add_typer(noun.app, name=noun.__name__.rpartition(".")[2])


@app.callback()
def root(*, version: bool = typer.Option(False, "--version", help="Print the version and end.")) -> None:
    """Carries a permit to use sensitive data from approval to a proved deletion."""
    if version:
        from tre import __version__

        typer.echo(f"tre {__version__}")
        raise typer.Exit


def run() -> None:
    """Run the command line; never returns. Expected errors are one line, unexpected ones say where to look."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))
    try:
        app(standalone_mode=True)
    except KeyboardInterrupt:
        refuse("interrupted")
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(Exit.INTERNAL)
    except Exception as error:
        explained = explain(error)
        if explained is None:
            if os.environ.get("TRE_DEBUG"):
                raise
            refuse(f"internal error: {type(error).__name__}: {error}", "TRE_DEBUG=1 shows where")
            sys.exit(Exit.INTERNAL)
        status, reason, hint = explained
        refuse(reason, hint)
        sys.exit(int(status))
