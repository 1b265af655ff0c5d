"""`pyrt push`: an image of the store to its registry."""

from __future__ import annotations

import click

from pyrt.cli.progress import shown
from pyrt.cli.shared import opened, verb
from pyrt.oci.reference import Reference

__all__ = ["command"]


@verb("push")
@click.argument("name", metavar="NAME[:TAG]")
@click.option("-a", "--all-tags", is_flag=True, help="All tags that the repository has here.")
@click.option("-q", "--quiet", is_flag=True, help="Print the name alone.")
@click.pass_obj
def command(root: str | None, name: str, all_tags: bool, quiet: bool) -> None:
    """Send an image to the registry that its name begins with."""
    reference = Reference.parse(name)
    with opened(root) as engine:
        names = [reference]
        if all_tags:
            found = {tag for image in engine.images.list(reference.familiar_repository) for tag in image.tags}
            names = [Reference.parse(tag) for tag in sorted(found)]
        if not quiet:
            click.echo(f"The push refers to repository [{reference.name}]")
        for each in names:
            with shown(quiet=quiet) as on_progress:
                digest = engine.images.push(each.familiar, on_progress=on_progress)
            click.echo(str(each) if quiet else f"{each.tag}: digest: {digest}")
