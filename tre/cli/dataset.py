"""`tre dataset`: the catalogue."""

from pathlib import Path
from typing import Annotated

import typer

from tre.cli.connect import Json, client
from tre.cli.exits import Exit
from tre.cli.output import fields, progress, stop, table

app = typer.Typer(help="The catalogue of datasets.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Our name of the dataset: it appears at /data/NAME.")]


@app.command()
def add(
    name: Name,
    folder: Annotated[Path, typer.Argument(help="The folder with the files.")],
    *,
    dataset_id: Annotated[str, typer.Option("--dataset-id", help="The id that permits use (URL or URN).")],
    owner: Annotated[str, typer.Option(help="Who is responsible for it.")] = "-",
    form: Annotated[str, typer.Option(help="pseudonymised or anonymised.")] = "pseudonymised",
    category: Annotated[str, typer.Option(help="Category of Article 51.")] = "-",
    visa_value: Annotated[str | None, typer.Option(help="GA4GH visa value of the dataset.")] = None,
    json: Json = False,
) -> None:
    """Hash a folder into a manifest and keep it as a dataset."""
    from tre.catalogue.catalogue import Description

    description = Description(name, dataset_id, owner, form, category, visa_value)
    with progress(f"hashing {name}") as bar:
        view = client().dataset_add(description, folder, bar)
    fields(view, as_json_too=json)


@app.command("list")
def list_(*, json: Json = False) -> None:
    """Every dataset."""
    columns = {"name": "name", "dataset_id": "id", "files": "files", "size_bytes": "bytes", "matches": "verified"}
    table(client().dataset_list(), columns, as_json_too=json)


@app.command()
def show(name: Name, *, json: Json = False) -> None:
    """One dataset, with its manifest."""
    fields(client().dataset_show(name), as_json_too=json)


@app.command()
def verify(name: Name, *, json: Json = False) -> None:
    """Hash everything again. Exit status 8 when something differs; then everyone is kept out."""
    with progress(f"hashing {name}") as bar:
        view = client().dataset_verify(name, bar)
    fields(view, as_json_too=json)
    if not view["matches"]:
        stop(Exit.UNVERIFIED)
