"""Rendering: JSON untouched; tables on a terminal, plain lines elsewhere; nothing from a permit unescaped."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tre.cli.exits import Exit


def clean(value: object) -> str:
    """A value as one line of printable text: escape codes and newlines in it do nothing to a terminal."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ", ".join(clean(v) for v in value) if isinstance(value, list | tuple) else str(value)
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def as_json(value: object) -> None:
    """Print JSON: indented, sorted as built, with a newline."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, as_json_too: bool) -> None:
    """Print rows; `columns` maps a field to its heading."""
    if as_json_too:
        as_json(list(rows))
        return
    if not rows:
        tell("nothing yet")
        return
    cells = [[clean(row.get(field)) for field in columns] for row in rows]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        drawn = Table(*columns.values(), header_style="bold", box=None, pad_edge=False)
        for row in cells:
            drawn.add_row(*(Text(cell) for cell in row))
        Console().print(drawn)
        return
    for row in [list(columns.values()), *cells]:
        sys.stdout.write("\t".join(row) + "\n")


def fields(view: Mapping[str, Any], *, as_json_too: bool) -> None:
    """Print one view: a field a line."""
    if as_json_too:
        as_json(view)
        return
    width = max((len(k) for k in view), default=0)
    for name, value in view.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            sys.stdout.write(f"{name}:\n")
            for item in value:
                shown = "  ".join(f"{k}={clean(v)}" for k, v in item.items() if v not in (None, [], ""))
                sys.stdout.write(f"  {shown}\n")
        else:
            sys.stdout.write(f"{name.ljust(width)}  {clean(value)}\n")


def tell(text: str) -> None:
    """A word to the person, on stderr."""
    sys.stderr.write(clean(text) + "\n")


def refuse(reason: str, hint: str = "") -> None:
    """A refusal: one line, a blank line, a hint."""
    sys.stderr.write(f"error: {clean(reason)}\n")
    if hint:
        sys.stderr.write(f"\nhint: {clean(hint)}\n")


@contextmanager
def progress(what: str) -> Iterator[Any]:
    """A progress bar on stderr where there is a terminal; a callable that does nothing where not."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(clean(what), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def stop(exit_status: Exit) -> None:
    """End with a documented exit status."""
    raise SystemExit(int(exit_status))
