"""`pyrt image …`: the verbs on images under docker's longer names."""

from __future__ import annotations

from importlib import import_module

import click

__all__ = ["command"]

VERBS = {
    "du": "du",
    "history": "history",
    "import": "import_tar",
    "inspect": "inspect",
    "load": "load",
    "ls": "images",
    "prune": "prune",
    "pull": "pull",
    "push": "push",
    "rm": "rmi",
    "save": "save",
    "tag": "tag",
}


class ImageVerbs(click.Group):
    """The verbs, each loaded when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = {"list": "ls", "remove": "rm"}.get(cmd_name, cmd_name)
        if name not in VERBS:
            return None
        verb: click.Command = import_module(f"pyrt.cli.{VERBS[name]}").command
        return verb


@click.group("image", cls=ImageVerbs)
def command() -> None:
    """List, move, keep and remove images."""
