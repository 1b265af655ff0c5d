"""`pyrt save`: images as an archive."""

from __future__ import annotations

import sys

import click

from pyrt.cli.complete import image_names
from pyrt.cli.shared import opened, verb
from pyrt.errors import InvalidOption

__all__ = ["command"]


@verb("save")
@click.argument("names", metavar="IMAGE...", nargs=-1, required=True, shell_complete=image_names)
@click.option("-o", "--output", metavar="FILE", help="Write to FILE; default is standard output.")
@click.pass_obj
def command(root: str | None, names: tuple[str, ...], output: str | None) -> None:
    """Write images as one archive that docker, podman and skopeo read."""
    if output is None and sys.stdout.isatty():
        raise InvalidOption("an archive is not for a terminal: use -o FILE, or redirect it", argument="--output")
    with opened(root) as engine:
        engine.images.save(names, sys.stdout.buffer if output is None else output)
