"""`pyrt volume snapshot`: keep the files of a volume as they are."""

from __future__ import annotations

import click

from pyrt.cli.shared import opened, verb

__all__ = ["command"]


@verb("snapshot")
@click.argument("source", metavar="VOLUME")
@click.argument("name", metavar="NAME")
@click.pass_obj
def command(root: str | None, source: str, name: str) -> None:
    """Make a volume that keeps the files of another as they are now, and print its name.

    Containers can only read it; a clone of it can be written to again.
    """
    with opened(root) as engine:
        click.echo(engine.volumes.get(source).snapshot(name).name)
