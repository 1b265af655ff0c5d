"""`pyrt push`: an image of the store to its registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pyrt.cli.complete import image_names
from pyrt.cli.progress import shown
from pyrt.cli.shared import opened, verb
from pyrt.errors import ImageNotFound, InvalidOption
from pyrt.oci.reference import Reference

if TYPE_CHECKING:
    from pyrt.engine import Engine

__all__ = ["command"]


@verb("push")
@click.argument("name", metavar="NAME[:TAG]", shell_complete=image_names)
@click.option("-a", "--all-tags", is_flag=True, help="All tags that the repository has here.")
@click.option("-q", "--quiet", is_flag=True, help="Print the name alone.")
@click.pass_obj
def command(root: str | None, name: str, all_tags: bool, quiet: bool) -> None:
    """Send an image to the registry that its name begins with."""
    reference = Reference.parse(name)
    is_named = reference.digest is None and name.endswith(f":{reference.tag}")
    if all_tags and is_named:
        raise InvalidOption("tag can't be used with --all-tags/-a")
    if not quiet:
        if not all_tags and not is_named:
            click.echo("Using default tag: latest")
        click.echo(f"The push refers to repository [{reference.name}]")
    with opened(root) as engine:
        for each in _tags(engine, reference) if all_tags else [reference]:
            with shown(quiet=quiet) as on_progress:
                digest = engine.images.push(each.familiar, on_progress=on_progress)
            if not quiet:
                size_bytes = engine.images.get(each.familiar).attrs["Descriptor"]["size"]
                click.echo(f"{each.tag}: digest: {digest} size: {size_bytes}")
    if quiet:
        click.echo(str(reference.name if all_tags else reference))


def _tags(engine: Engine, reference: Reference) -> list[Reference]:
    """Give the names in the repository of a reference that the store has. Raises ImageNotFound where there are none."""
    tags = {tag for image in engine.images.list(reference.familiar_repository) for tag in image.tags}
    found = [each for each in map(Reference.parse, sorted(tags)) if each.name == reference.name]
    if not found:
        raise ImageNotFound(f"no such image: there is no tag of {reference.familiar_repository} here")
    return found
