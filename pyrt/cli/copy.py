"""`pyrt copy`: images between registries, layouts and archives, without the store."""

from __future__ import annotations

import click

from pyrt.cli.progress import shown
from pyrt.cli.shared import opened, verb

__all__ = ["command"]


@verb("copy")
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@click.option("-a", "--all-platforms", is_flag=True, help="Everything that an index refers to.")
@click.option("--platform", metavar="OS/ARCH", help="Which image of several; default this machine's.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.pass_obj
def command(root: str | None, source: str, target: str, all_platforms: bool, platform: str | None, quiet: bool) -> None:
    """Copy an image between any two of REGISTRY/NAME[:TAG], oci:DIR, oci-archive:FILE, docker-archive:FILE.

    rootfs:DIR can be copied from. Nothing is unpacked, and nothing is stored here.
    """
    with opened(root) as engine, shown(quiet=quiet) as on_progress:
        digest = engine.images.copy(
            source, target, platform=platform, all_platforms=all_platforms, on_progress=on_progress
        )
    click.echo(digest)
