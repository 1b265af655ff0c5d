"""`pyrt rename`: another name for a container."""

from __future__ import annotations

import click

from pyrt.cli.complete import container_names
from pyrt.cli.shared import opened, verb

__all__ = ["command"]


@verb("rename")
@click.argument("container", metavar="CONTAINER", shell_complete=container_names)
@click.argument("name", metavar="NEW_NAME")
@click.pass_obj
def command(root: str | None, container: str, name: str) -> None:
    """Give a container another name."""
    with opened(root) as engine:
        engine.containers.get(container).rename(name)
