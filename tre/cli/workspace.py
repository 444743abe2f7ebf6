"""Workspaces: provision, list, status, login, probe, suspend, resume, close."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tre.cli.connect import Json, Member, Reason, client, read
from tre.cli.exits import Exit
from tre.cli.output import as_json, clean, fields, stop, table, tell

Name = Annotated[str, typer.Argument(help="A workspace's id, the beginning of it, or its permit.")]
Either = Annotated[str, typer.Argument(help="A workspace or a permit.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (provision, status, probe, suspend, resume, close):
        app.command()(command)
    app.command("list")(list_)
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": False})(login)


def provision(
    file: Annotated[Path, typer.Argument(help="A signed permit (JWS); - for standard input.")],
    *,
    backend: Annotated[str | None, typer.Option(help="Where; needed when there are several.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait until it is ready, or say why not.")] = True,
    json: Json = False,
) -> None:
    """Receive a permit and make its workspace.

    Example: tre provision permit.jws --backend local
    """
    c = client()
    if dry_run:
        fields(c.provision_plan(read(file), backend), as_json_too=json)
        return
    view = c.provision(read(file), backend)
    if wait:
        tell(f"workspace {view['workspace']} on {view['backend']}: raising the wall")
        view = c.settle(str(view["workspace"]))
    _show(view, json=json)
    if wait and view["phase"] != "ready":
        tell(f"not ready: {_why(view)}")
        stop(Exit.NOT_READY)


def _why(view: dict) -> str:  # type: ignore[type-arg]  # a view
    ready = next((c for c in view["conditions"] if c["type"] == "Ready"), None)
    return f"{ready['reason']}: {ready['sentence']}" if ready else str(view["sentence"])


def _show(view: dict, *, json: bool) -> None:  # type: ignore[type-arg]  # a view
    if json:
        as_json(view)
        return
    for name in ("workspace", "backend", "permit", "profile", "phase", "access", "ends_at", "sessions", "sentence"):
        sys.stdout.write(f"{name.ljust(11)} {clean(view[name])}\n")
    for text in view["sentences"]:
        sys.stdout.write(f"note        {clean(text)}\n")
    for mount in view["mounts"]:
        sys.stdout.write(f"dataset     /data/{clean(mount['name'])}  {clean(mount['dataset_id'])}\n")
    for m in view["members"]:
        sys.stdout.write(f"member      {clean(m['person'])}  slot {m['slot']}  until {clean(m['ends_at'])}\n")
    for c in view["conditions"]:
        line = f"{c['type']:<13} {c['status']:<8} {c['reason']:<18} {c['sentence']}"
        sys.stdout.write(f"condition   {clean(line)}\n")
    if view["problem"]:
        sys.stdout.write(f"problem     {clean(view['problem'])}\n")


def list_(*, json: Json = False) -> None:
    """Every workspace."""
    columns = {
        "workspace": "workspace",
        "backend": "backend",
        "lineage": "permit",
        "phase": "phase",
        "sessions": "sessions",
        "ends_at": "ends",
        "sentences": "notes",
    }
    table(client().workspaces(), columns, as_json_too=json)


def status(name: Name, *, json: Json = False) -> None:
    """One workspace: state, conditions, members, mounts."""
    _show(client().status(name), json=json)


def login(context: typer.Context, name: Name, *, member: Member = None) -> None:
    """Log in as a member. With -- COMMAND… run a program without a terminal, where the profile allows it.

    Example: tre login ab3d --member p-1 -- cat /data/lung/lung.csv
    """
    from tre.cli.terminal import converse

    raise SystemExit(converse(client(), name, member, tuple(context.args)))


def probe(name: Name, *, json: Json = False) -> None:
    """Run the probes of the workspace's rung now. Exit status 8 when one got through."""
    rows = client().probe(name)
    table(rows, {"class": "class", "name": "attempt", "verdict": "verdict", "detail": "detail"}, as_json_too=json)
    if any(r["verdict"] == "succeeded" for r in rows):
        stop(Exit.UNVERIFIED)


def suspend(name: Either, *, reason: Reason, member: Member = None, json: Json = False) -> None:
    """Stop access at once: sessions end, credentials die, data is unmounted."""
    fields(client().suspend(name, reason, member), as_json_too=json)


def resume(name: Either, *, reason: Reason, member: Member = None) -> None:
    """Ask two approvers to lift our suspensions."""
    client().resume(name, reason, member)


def close(name: Either, *, reason: Reason) -> None:
    """Ask two approvers to close a workspace, or a permit's workspaces, for good."""
    client().close(name, reason)
