"""`pyrt system …`: what is about the whole machine."""

from __future__ import annotations

import click

from pyrt.cli.group import Verbs

__all__ = ["command"]

VERBS = {"boot": "Start the containers that are to run again when the machine has come up."}
MODULES = {"boot": "system_boot"}


@click.group("system", cls=Verbs, verbs=VERBS, modules=MODULES)
def command() -> None:
    """What is about the whole machine."""
