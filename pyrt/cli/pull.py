"""`pyrt pull`: an image of a registry, or of another medium, into the store."""

from __future__ import annotations

import click

from pyrt.cli.progress import shown
from pyrt.cli.shared import opened, verb
from pyrt.errors import InvalidOption
from pyrt.oci.reference import Reference

__all__ = ["command"]

MEDIA = ("oci:", "oci-archive:", "docker-archive:")


@verb("pull")
@click.argument("name", metavar="NAME[:TAG|@DIGEST]")
@click.option("-a", "--all-tags", is_flag=True, help="All tags of the repository.")
@click.option("-q", "--quiet", is_flag=True, help="Print the name alone.")
@click.option("--platform", metavar="OS/ARCH", help="Which image of several; default this machine's.")
@click.pass_obj
def command(root: str | None, name: str, all_tags: bool, quiet: bool, platform: str | None) -> None:
    """Bring an image from a registry, or from oci:DIR, oci-archive:FILE or docker-archive:FILE."""
    reference = None if name.startswith(MEDIA) else Reference.parse(name)
    if reference is not None:
        is_named = reference.digest is not None or name.endswith(f":{reference.tag}")
        if all_tags and is_named:
            raise InvalidOption("tag can't be used with --all-tags/-a")
        if not quiet and not all_tags:
            click.echo("" if is_named else "Using default tag: latest\n", nl=False)
    with opened(root) as engine:
        before = {image.id for image in engine.images.list()}
        with shown(_heading(reference, all_tags), quiet=quiet) as on_progress:
            image = engine.images.pull(name, all_tags=all_tags, platform=platform, on_progress=on_progress)
        if reference is None:
            click.echo(image.id)
            return
        shown_as = reference.name if all_tags else str(reference)
        if not quiet:
            state = "Image is up to date" if image.id in before else "Downloaded newer image"
            click.echo(f"Digest: {image.source(image.tags[0] if all_tags else reference.familiar)}")
            click.echo(f"Status: {state} for {reference.familiar_repository if all_tags else reference.familiar}")
        click.echo(shown_as)


def _heading(reference: Reference | None, all_tags: bool) -> str:
    """Give what is printed when the registry has answered."""
    if reference is None:
        return ""
    return f"{'' if all_tags else f'{reference.tag or reference}: '}Pulling from {reference.repository}"
