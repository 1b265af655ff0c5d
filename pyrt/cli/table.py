"""Lists as docker prints them: a table, one template a row, or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from pyrt.cli.template import compile_template

__all__ = ["GAP", "listing", "print_rows", "show_document"]

GAP = 3
Row = Mapping[str, Any]


def print_rows(rows: Sequence[Row], columns: Sequence[str], headings: Mapping[str, str], form: str | None) -> None:
    """Print rows: as a table of `columns` (None, `table`), as a table of a template's fields (`table {{.ID}}…`), as one
    JSON object a line (`json`), or by a template.

    `headings` are the titles of all the fields that there are.
    """
    for line in listing(rows, columns, headings, form):
        click.echo(line)


def listing(rows: Sequence[Row], columns: Sequence[str], headings: Mapping[str, str], form: str | None) -> list[str]:
    """Give the lines that `print_rows` prints. Raises InvalidOption."""
    if form == "json":
        return [json.dumps(dict(row), separators=(",", ":"), ensure_ascii=False) for row in rows]
    if form in (None, "", "table"):
        return _aligned([[headings[name] for name in columns], *([str(row[name]) for name in columns] for row in rows)])
    assert form is not None
    if form.startswith("table "):
        template = compile_template(form.removeprefix("table ").strip())
        titles = {name: headings.get(name, name.upper()) for name in headings}
        cells = [template.render(row).split("\t") for row in [titles, *rows]]
        return _aligned(cells)
    template = compile_template(form)
    return [template.render(row) for row in rows]


def show_document(documents: Sequence[Any], form: str | None) -> None:
    """Print what `inspect` found: a JSON list, or one line for each by a template."""
    if form in (None, "", "json"):
        indent = 4 if form != "json" else None
        click.echo(json.dumps(list(documents), indent=indent, ensure_ascii=False))
        return
    assert form is not None
    template = compile_template(form)
    for document in documents:
        click.echo(template.render(document))


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[at]) for row in cells if at < len(row)) for at in range(max(map(len, cells)))]
    padded = ([cell.ljust(width + GAP) for cell, width in zip(row, widths, strict=False)] for row in cells)
    return ["".join(row).rstrip() for row in padded]
