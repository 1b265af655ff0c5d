"""`pyrt export`: the files of a kept container as a tar."""

from __future__ import annotations

import sys

import click

from pyrt.cli.complete import container_names
from pyrt.cli.shared import opened, verb
from pyrt.errors import InvalidOption

__all__ = ["command"]


@verb("export")
@click.argument("container", metavar="CONTAINER", shell_complete=container_names)
@click.option("-o", "--output", metavar="FILE", help="Write to FILE; default is standard output.")
@click.pass_obj
def command(root: str | None, container: str, output: str | None) -> None:
    """Write all files of a container as a tar."""
    if output is None and sys.stdout.isatty():
        raise InvalidOption("a tar is not for a terminal: use -o FILE, or redirect it", argument="--output")
    with opened(root) as engine:
        chunks = engine.containers.get(container).export()
        if output is None:
            for chunk in chunks:
                sys.stdout.buffer.write(chunk)
            return
        with open(output, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
