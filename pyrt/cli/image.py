"""`pyrt image …`: the verbs on images under docker's longer names."""

from __future__ import annotations

import click

from pyrt.cli.group import Verbs

__all__ = ["command"]

VERBS = {
    "du": "Show what images take on disk.",
    "history": "Show the history of an image.",
    "import": "Make an image from a tar of a root file system.",
    "inspect": "Show what images are.",
    "load": "Take the images of an archive.",
    "ls": "List images.",
    "prune": "Remove images that nobody needs.",
    "pull": "Bring an image from a registry.",
    "push": "Send an image to its registry.",
    "rm": "Remove images.",
    "save": "Write images as an archive.",
    "tag": "Give an image one more name.",
}
MODULES = {"import": "import_tar", "inspect": "inspect:of_images", "ls": "images", "rm": "rmi"}
ALIASES = {"list": "ls", "remove": "rm"}


@click.group("image", cls=Verbs, verbs=VERBS, modules=MODULES, aliases=ALIASES)
def command() -> None:
    """List, move, keep and remove images."""
