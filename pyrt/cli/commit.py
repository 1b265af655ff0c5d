"""`pyrt commit`: a kept container as an image."""

from __future__ import annotations

import click

from pyrt.cli.complete import container_names
from pyrt.cli.shared import opened, verb

__all__ = ["command"]


@verb("commit")
@click.argument("container", metavar="CONTAINER", shell_complete=container_names)
@click.argument("name", metavar="[REPOSITORY[:TAG]]", required=False)
@click.option("-a", "--author", default="", metavar="NAME", help="Who made it.")
@click.option("-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help="Apply an instruction.")
@click.option("-m", "--message", default="", metavar="TEXT", help="Note TEXT in the image's history.")
@click.pass_obj
def command(
    root: str | None, container: str, name: str | None, author: str, changes: tuple[str, ...], message: str
) -> None:
    """Make an image of a container's image and of what its program has changed."""
    with opened(root) as engine:
        image = engine.containers.get(container).commit(name, author=author, changes=changes, message=message)
        click.echo(image.id)
