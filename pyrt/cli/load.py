"""`pyrt load`: the images of an archive."""

from __future__ import annotations

import sys

import click

from pyrt.cli.progress import shown
from pyrt.cli.shared import opened, verb
from pyrt.errors import InvalidOption
from pyrt.image import Progress

__all__ = ["command"]


@verb("load")
@click.option("-i", "--input", "source", metavar="FILE", help="Read FILE; default is standard input.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.pass_obj
def command(root: str | None, source: str | None, quiet: bool) -> None:
    """Take the images of an archive that docker, podman, skopeo or pyrt wrote, compressed or not."""
    if source is None and sys.stdin.isatty():
        raise InvalidOption("no archive comes from a terminal: use -i FILE, or redirect it", argument="--input")
    loaded: list[str] = []
    with opened(root) as engine, shown(quiet=quiet or not sys.stdout.isatty()) as show:

        def on_progress(event: Progress) -> None:
            if event.id:
                show(event)
            else:
                loaded.append(event.status)

        engine.images.load(sys.stdin.buffer if source is None else source, on_progress=on_progress)
    for line in loaded:
        click.echo(line)
