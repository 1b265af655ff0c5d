"""`pyrt volume inspect`: all that is known of volumes."""

from __future__ import annotations

from typing import Any

import click

from pyrt.cli.documents import Labels, lines
from pyrt.cli.format import complain
from pyrt.cli.shared import opened, verb
from pyrt.cli.template_values import Null
from pyrt.errors import NotFound

__all__ = ["command"]


@verb("inspect")
@click.argument("names", metavar="VOLUME...", nargs=-1, required=True)
@click.option("-f", "--format", "form", metavar="FORMAT", help="`json`, or a Go template such as `{{.Mountpoint}}`.")
@click.option("-s", "--size", is_flag=True, help="Also how large they are, and how many containers use them.")
@click.pass_obj
def command(root: str | None, names: tuple[str, ...], form: str | None, size: bool) -> int:
    """Show what volumes are, as JSON or by a template."""
    documents, missing = [], []
    with opened(root) as engine:
        for name in names:
            try:
                volume = engine.volumes.get(name)
            except NotFound as error:
                missing.append(str(error))
            else:
                documents.append(volume.attrs | ({"UsageData": volume.usage()} if size else {}))
    for line in lines(documents, form, _typed):
        click.echo(line)
    for each in missing:
        complain(each)
    return int(bool(missing))


def _typed(document: dict[str, Any]) -> dict[str, Any]:
    """Give a document with the types that docker's templates see."""
    empty = {name: Null("map[]") for name in ("Labels", "Options", "Status")} | {"UsageData": Null("<nil>")}
    maps = {name: Labels(value) for name, value in document.items() if isinstance(value, dict)}
    return empty | {name: value for name, value in document.items() if value is not None} | maps
