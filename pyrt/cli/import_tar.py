"""`pyrt import`: a tar of a root file system as an image."""

from __future__ import annotations

import sys

import click

from pyrt.cli.shared import opened, verb

__all__ = ["command"]


@verb("import")
@click.argument("source", metavar="FILE|-")
@click.argument("name", metavar="[REPOSITORY[:TAG]]", required=False)
@click.option(
    "-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help="Apply a Dockerfile's instruction."
)
@click.option("-m", "--message", default="", metavar="TEXT", help="Note TEXT in the image's history.")
@click.option("--platform", metavar="OS/ARCH", help="What the files are for; default this machine.")
@click.pass_obj
def command(
    root: str | None, source: str, name: str | None, changes: tuple[str, ...], message: str, platform: str | None
) -> None:
    """Make an image of one layer from a tar, compressed or not."""
    with opened(root) as engine:
        image = engine.images.import_tar(
            sys.stdin.buffer if source == "-" else source, name, changes=changes, message=message, platform=platform
        )
        click.echo(image.id)
