"""`pyrt image du`: what images take on disk."""

from __future__ import annotations

import click

from pyrt.cli.shared import format_option, opened, verb
from pyrt.cli.table import print_rows
from pyrt.cli.units import size

__all__ = ["command"]

HEADINGS = {
    "Repository": "IMAGE",
    "ID": "IMAGE ID",
    "Size": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
}


@verb("du")
@format_option
@click.pass_obj
def command(root: str | None, form: str | None) -> None:
    """Show what images take on disk: their files, how much of them they share, and what could be freed."""
    with opened(root) as engine:
        found = engine.images.du()
    rows = [
        {
            "Repository": ", ".join(each.familiar for each in entry.image.tags) or "<none>",
            "ID": entry.image.id.short,
            "Size": size(entry.size_bytes),
            "SharedSize": size(entry.shared_bytes),
            "UniqueSize": size(entry.unique_bytes),
        }
        for entry in found.images
    ]
    print_rows(rows, list(HEADINGS), HEADINGS, form)
    if form is None:
        click.echo()
        click.echo(f"Layers: {size(found.layer_bytes)}  Blobs: {size(found.blob_bytes)}", nl=False)
        click.echo(f"  Reclaimable: {size(found.reclaimable_bytes)}")
