"""`pyrt history`: how an image came to be, layer by layer."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from pyrt.cli.complete import image_names
from pyrt.cli.shared import format_option, opened, verb
from pyrt.cli.table import is_table, print_rows
from pyrt.cli.units import ago, size

__all__ = ["command"]

HEADINGS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}
CREATED_BY_LETTERS = 45


@verb("history")
@click.argument("name", metavar="IMAGE", shell_complete=image_names)
@click.option("-H", "--human/--no-human", default=True, help="Sizes and times for people (the default).")
@click.option("--no-trunc", is_flag=True, help="Show everything in full.")
@click.option("-q", "--quiet", is_flag=True, help="Print ids alone.")
@format_option
@click.pass_obj
def command(root: str | None, name: str, human: bool, no_trunc: bool, quiet: bool, form: str | None) -> None:
    """Show the history of an image, the newest layer first."""
    with opened(root) as engine:
        rows = [_row(entry, human, no_trunc) for entry in engine.images.get(name).history()]
    columns = ["ID", "CreatedSince" if human else "CreatedAt", "CreatedBy", "Size", "Comment"]
    print_rows(rows, columns, HEADINGS, "{{.ID}}" if quiet and is_table(form) else form)


def _row(entry: Mapping[str, Any], human: bool, no_trunc: bool) -> dict[str, str]:
    id, created_by = entry["Id"], re.sub(r"[\t\n]", " ", entry["CreatedBy"])  # which would break the table
    if not no_trunc:
        id = id.removeprefix("sha256:")[:12]
        if len(created_by) > CREATED_BY_LETTERS:
            created_by = created_by[: CREATED_BY_LETTERS - 1] + "…"
    moment = datetime.fromtimestamp(entry["Created"], UTC).astimezone()
    return {
        "ID": id,
        "CreatedSince": ago(entry["Created"], time.time()),
        "CreatedAt": moment.isoformat().replace("+00:00", "Z"),
        "CreatedBy": created_by,
        "Size": size(entry["Size"]) if human else str(entry["Size"]),
        "Comment": entry["Comment"],
    }
