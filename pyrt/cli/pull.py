"""`pyrt pull`: an image of a registry, or of another medium, into the store."""

from __future__ import annotations

import click

from pyrt.cli.progress import shown
from pyrt.cli.shared import opened, verb
from pyrt.oci.reference import Reference

__all__ = ["command"]


@verb("pull")
@click.argument("name", metavar="NAME[:TAG|@DIGEST]")
@click.option("-a", "--all-tags", is_flag=True, help="All tags of the repository.")
@click.option("-q", "--quiet", is_flag=True, help="Print the name alone.")
@click.option("--platform", metavar="OS/ARCH", help="Which image of several; default this machine's.")
@click.pass_obj
def command(root: str | None, name: str, all_tags: bool, quiet: bool, platform: str | None) -> None:
    """Bring an image from a registry, or from oci:DIR, oci-archive:FILE or docker-archive:FILE."""
    reference = None if name.partition(":")[0] in ("oci", "oci-archive", "docker-archive") else Reference.parse(name)
    if reference is not None and not quiet:
        if reference.tag == "latest" and not name.endswith(":latest") and not all_tags:
            click.echo("Using default tag: latest")
        click.echo(f"{reference.tag or reference.digest}: Pulling from {reference.repository}")
    with opened(root) as engine:
        before = {image.id for image in engine.images.list(reference.familiar if reference else None)}
        with shown(quiet=quiet) as on_progress:
            image = engine.images.pull(name, all_tags=all_tags, platform=platform, on_progress=on_progress)
        if reference is None:
            click.echo(image.id)
            return
        if not quiet:
            prefix = f"{reference.familiar_repository}@"
            digests = [each.removeprefix(prefix) for each in image.digests if each.startswith(prefix)]
            click.echo(f"Digest: {digests[0] if digests else image.id}")
            state = "Image is up to date" if image.id in before else "Downloaded newer image"
            click.echo(f"Status: {state} for {reference.familiar}")
        click.echo(str(reference))
