"""`pyrt rm`: remove kept containers."""

from __future__ import annotations

import click

from pyrt.cli.format import complain
from pyrt.cli.shared import opened, verb
from pyrt.errors import PyrtError

__all__ = ["command"]


@verb("rm")
@click.argument("containers", metavar="CONTAINER...", nargs=-1, required=True)
@click.option("-v", "--volumes", is_flag=True, help="Also the anonymous volumes that were made for them.")
@click.pass_obj
def command(root: str | None, containers: tuple[str, ...], volumes: bool) -> int:
    """Remove containers that have ended, with what their programs have written."""
    failed = False
    with opened(root) as engine:
        for name in containers:
            try:
                engine.containers.get(name).remove(v=volumes)
            except PyrtError as error:
                failed = True
                complain(str(error))
            else:
                click.echo(name)
    return int(failed)
