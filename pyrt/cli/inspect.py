"""`pyrt inspect`: all that is known of an image."""

from __future__ import annotations

import click

from pyrt.cli.format import complain
from pyrt.cli.shared import opened
from pyrt.cli.table import show_document
from pyrt.errors import NotFound

__all__ = ["command"]


@click.command("inspect")
@click.argument("names", metavar="IMAGE...", nargs=-1, required=True)
@click.option("--type", "kind", type=click.Choice(["image"]), help="What the names are of.")
@click.option("-f", "--format", "form", metavar="FORMAT", help="`json`, or a Go template such as `{{.Id}}`.")
@click.pass_obj
def command(root: str | None, names: tuple[str, ...], kind: str | None, form: str | None) -> int:
    """Show what images are, as JSON or by a template."""
    documents, missing = [], []
    with opened(root) as engine:
        for name in names:
            try:
                documents.append(engine.images.get(name).attrs)
            except NotFound as error:
                missing.append(str(error))
    show_document(documents, form)
    for each in missing:
        complain(each)
    return int(bool(missing))
