"""`pyrt tag`: one more name for an image."""

from __future__ import annotations

import click

from pyrt.cli.complete import image_names
from pyrt.cli.shared import opened, verb

__all__ = ["command"]


@verb("tag")
@click.argument("source", metavar="SOURCE_IMAGE[:TAG]", shell_complete=image_names)
@click.argument("target", metavar="TARGET_IMAGE[:TAG]")
@click.pass_obj
def command(root: str | None, source: str, target: str) -> None:
    """Let TARGET_IMAGE refer to SOURCE_IMAGE."""
    with opened(root) as engine:
        engine.images.get(source).tag(target)
