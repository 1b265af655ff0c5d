"""`pyrt rm`: remove containers."""

from __future__ import annotations

import click

from pyrt.cli.format import complain
from pyrt.cli.shared import containers, opened, verb
from pyrt.errors import ContainerNotFound, PyrtError

__all__ = ["command"]


@verb("rm")
@click.option("-f", "--force", is_flag=True, help="Kill those that run; one that is not there is no failure.")
@click.option("-v", "--volumes", is_flag=True, help="Also the volumes without a name that were made for them.")
@containers
@click.pass_obj
def command(root: str | None, names: tuple[str, ...], force: bool, volumes: bool) -> int:
    """Remove containers, with what their programs have written."""
    failed = False
    with opened(root) as engine:
        for name in names:
            try:
                engine.containers.get(name).remove(force=force, v=volumes)
            except PyrtError as error:
                failed |= not (force and isinstance(error, ContainerNotFound))
                complain(str(error))
            else:
                click.echo(name)
    return int(failed)
