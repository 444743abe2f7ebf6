"""`tre trust`: whose word counts."""

from pathlib import Path
from typing import Annotated

import typer

from tre.cli.connect import Json, client, read
from tre.cli.output import fields, table

app = typer.Typer(help="Trusted keys of issuers, approvers and auditors.", no_args_is_help=True)


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="The public key (PEM).")],
    *,
    purpose: Annotated[str, typer.Option(help="issuer, approver or auditor.")],
    holder: Annotated[str, typer.Option(help="The issuer's id (a URL), or the person.")],
    profile: Annotated[list[str] | None, typer.Option(help="Profiles an issuer's permits may use.")] = None,
    dataset: Annotated[list[str] | None, typer.Option(help="Dataset ids an issuer may grant; none: any.")] = None,
    longest_days: Annotated[int | None, typer.Option(help="The longest permit it may grant.")] = None,
) -> None:
    """Ask two approvers to trust another key."""
    from tre.model.facts import TrustPurpose
    from tre.operations.trust import NewTrust

    new = NewTrust(TrustPurpose(purpose), read(file), holder, tuple(profile or ()), tuple(dataset or ()), longest_days)
    client().trust_add(new)


@app.command("list")
def list_(*, json: Json = False) -> None:
    """Every trusted key."""
    columns = {"kid": "key", "purpose": "purpose", "holder": "holder", "profiles": "profiles", "revoked_at": "revoked"}
    table(client().trust_list(), columns, as_json_too=json)


@app.command()
def revoke(
    kid: Annotated[str, typer.Argument(help="The key's id.")],
    *,
    compromised_since: Annotated[
        str | None, typer.Option(help="YYYY-MM-DDTHH:MM:SSZ: what was received from it since is suspended.")
    ] = None,
    json: Json = False,
) -> None:
    """Trust a key no longer, at once."""
    from tre.model.instants import parse_instant

    since = parse_instant(compromised_since) if compromised_since else None
    fields(client().trust_revoke(kid, since), as_json_too=json)
