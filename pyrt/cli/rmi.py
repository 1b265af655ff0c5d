"""`pyrt rmi`: remove names, and images with their last name."""

from __future__ import annotations

import click

from pyrt.cli.complete import image_names
from pyrt.cli.format import complain
from pyrt.cli.shared import opened, verb
from pyrt.errors import ImageNotFound, PyrtError

__all__ = ["command"]


@verb("rmi")
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, shell_complete=image_names)
@click.option("-f", "--force", is_flag=True, help="Also where it has names in several repositories, or none at all.")
@click.option("--no-prune", is_flag=True, help="Leave what has become unused.")
@click.pass_obj
def command(root: str | None, images: tuple[str, ...], force: bool, no_prune: bool) -> int:
    """Remove images by their names or ids."""
    failed = False
    with opened(root) as engine:
        for name in images:
            try:
                removed = engine.images.remove(name, force=force, noprune=no_prune)
            except PyrtError as error:
                if not (force and isinstance(error, ImageNotFound)):
                    failed = True
                complain(str(error))
                continue
            for each in removed.untagged:
                click.echo(f"Untagged: {each}")
            for each in removed.deleted:
                click.echo(f"Deleted: {each}")
    return int(failed)
