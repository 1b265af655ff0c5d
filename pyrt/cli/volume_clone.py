"""`pyrt volume clone`: make a volume with the files of another."""

from __future__ import annotations

import click

from pyrt.cli.shared import opened, verb

__all__ = ["command"]


@verb("clone")
@click.argument("source", metavar="VOLUME")
@click.argument("name", metavar="NAME")
@click.pass_obj
def command(root: str | None, source: str, name: str) -> None:
    """Make a volume with the files of another, and print its name.

    Their data are shared until one of them is written to, where the file system can do that.
    """
    with opened(root) as engine:
        click.echo(engine.volumes.get(source).clone(name).name)
