"""Lists as docker prints them: a table, one template a row, or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import click

__all__ = ["GAP", "is_table", "listing", "print_rows"]

GAP = 3
NARROWEST = 10  # column, with its gap
Row = Mapping[str, Any]


def is_table(form: str | None) -> bool:
    """Say whether a format is the usual table, in which case `--quiet` counts."""
    return form in (None, "", "table")


def print_rows(rows: Sequence[Row], columns: Sequence[str], headings: Mapping[str, str], form: str | None) -> None:
    """Print rows: as a table of `columns` (None, `table`), as a table of a template's fields (`table {{.ID}}…`), as one
    JSON object a line (`json`), or by a template.

    `headings` are the titles of all the fields that there are. Raises InvalidOption for a template that is none.
    """
    for line in listing(rows, columns, headings, form):
        click.echo(line)


def listing(rows: Sequence[Row], columns: Sequence[str], headings: Mapping[str, str], form: str | None) -> list[str]:
    """Give the lines that `print_rows` prints."""
    rows = [dict(sorted(row.items())) for row in rows]  # as Go writes JSON
    if form is None or is_table(form):
        form = "table " + "\t".join(f"{{{{.{name}}}}}" for name in columns)
    if form == "json":
        return [json.dumps(row, separators=(",", ":"), ensure_ascii=False) for row in rows]
    from pyrt.cli.template import compile_template
    from pyrt.cli.template_functions import TITLES

    is_titled = form.startswith("table")
    text = form.removeprefix("table").strip(" ") if is_titled else form.strip(" ")
    template = compile_template(text.replace("\\t", "\t").replace("\\n", "\n"))
    lines = [template.render(row) for row in rows]
    if not is_titled:
        return lines
    titles = template.render(headings, TITLES)
    return aligned([line.split("\t") for text in (titles, *lines) for line in text.split("\n")])


def aligned(rows: Sequence[Sequence[str]], narrowest: int = NARROWEST) -> list[str]:
    """Align cells as Go's tabwriter does: a column is as long as its lines are next to each other, and the last cell of
    a line is in none. `narrowest` is the least width of a column.
    """
    padded = [[*row] for row in rows]
    for column in range(max(map(len, padded), default=0)):
        for has_it, run in groupby(padded, partial(_goes_on, column)):
            block = list(run) if has_it else []
            width = max([narrowest, *(len(row[column]) + GAP for row in block)])
            for row in block:
                row[column] = row[column].ljust(width)
    return ["".join(row) for row in padded]


def _goes_on(column: int, row: Sequence[str]) -> bool:
    return len(row) - 1 > column
