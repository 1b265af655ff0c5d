"""`pyrt diff`: what the program of a kept container has changed."""

from __future__ import annotations

import click

from pyrt.cli.complete import container_names
from pyrt.cli.shared import opened, verb

__all__ = ["command"]


@verb("diff")
@click.argument("container", metavar="CONTAINER", shell_complete=container_names)
@click.pass_obj
def command(root: str | None, container: str) -> None:
    """List what was added (A), changed (C) and deleted (D) in a container's files."""
    with opened(root) as engine:
        for change in engine.containers.get(container).diff():
            click.echo(f"{change.kind} {change.path}".encode("utf-8", "surrogateescape"))
