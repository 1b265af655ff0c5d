"""`pyrt volume …`: the verbs on volumes."""

from __future__ import annotations

import click

from pyrt.cli.group import Verbs

__all__ = ["command"]

VERBS = {
    "clone": "Make a volume with the files of another.",
    "create": "Make a volume.",
    "inspect": "Show what volumes are.",
    "ls": "List volumes.",
    "prune": "Remove volumes that no container uses.",
    "rm": "Remove volumes.",
    "snapshot": "Make a volume that keeps the files of another as they are.",
}
MODULES = {name: f"volume_{name}" for name in VERBS}
ALIASES = {"list": "ls", "remove": "rm"}


@click.group("volume", cls=Verbs, verbs=VERBS, modules=MODULES, aliases=ALIASES)
def command() -> None:
    """Make, list, copy and remove volumes."""
