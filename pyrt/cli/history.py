"""`pyrt history`: how an image came to be, layer by layer."""

from __future__ import annotations

import time

import click

from pyrt.cli.shared import format_option, opened
from pyrt.cli.table import print_rows
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


@click.command("history")
@click.argument("name", metavar="IMAGE")
@click.option("-H", "--human/--no-human", default=True, help="Sizes and times for people (the default).")
@click.option("--no-trunc", is_flag=True, help="Show everything in full.")
@click.option("-q", "--quiet", is_flag=True, help="Print ids alone.")
@format_option
@click.pass_obj
def command(root: str | None, name: str, human: bool, no_trunc: bool, quiet: bool, form: str | None) -> None:
    """Show the history of an image, the newest layer first."""
    with opened(root) as engine:
        entries = engine.images.get(name).history()
    rows = []
    for entry in entries:
        id, created_by = entry["Id"], " ".join(entry["CreatedBy"].split())
        if not no_trunc:
            id = id.removeprefix("sha256:")[:12]
            if len(created_by) > CREATED_BY_LETTERS:
                created_by = created_by[: CREATED_BY_LETTERS - 1] + "…"
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry["Created"]))
        rows.append(
            {
                "ID": id,
                "CreatedSince": ago(entry["Created"], time.time()) if human else moment,
                "CreatedAt": moment,
                "CreatedBy": created_by,
                "Size": size(entry["Size"]) if human else str(entry["Size"]),
                "Comment": entry["Comment"],
            }
        )
    if quiet and form is None:
        for row in rows:
            click.echo(row["ID"])
        return
    print_rows(rows, ["ID", "CreatedSince", "CreatedBy", "Size", "Comment"], HEADINGS, form)
