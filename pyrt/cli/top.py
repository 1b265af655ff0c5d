"""`pyrt top`: the processes of a container."""

from __future__ import annotations

import click

from pyrt.cli.complete import container_names
from pyrt.cli.shared import opened, verb
from pyrt.cli.table import aligned

__all__ = ["command"]

SETTINGS = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@verb("top", context_settings=SETTINGS)
@click.argument("name", metavar="CONTAINER", shell_complete=container_names)
@click.argument("ps_words", metavar="[PS OPTIONS]", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def command(root: str | None, name: str, ps_words: tuple[str, ...]) -> None:
    """List the processes of a container, as the host numbers them.

    The options of ps are -ef (the default), aux, or -o with columns of ps(1).
    """
    with opened(root) as engine:
        found = engine.containers.get(name).top(" ".join(ps_words) or None)
    for line in aligned([found["Titles"], *found["Processes"]], narrowest=20):
        click.echo(line)
