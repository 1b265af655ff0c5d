"""`pyrt volume rm`: remove volumes."""

from __future__ import annotations

import click

from pyrt.cli.format import complain
from pyrt.cli.shared import opened, verb
from pyrt.errors import PyrtError, VolumeNotFound

__all__ = ["command"]


@verb("rm")
@click.argument("names", metavar="VOLUME...", nargs=-1, required=True)
@click.option("-f", "--force", is_flag=True, help="Do not mind those that there are not.")
@click.pass_obj
def command(root: str | None, names: tuple[str, ...], force: bool) -> int:
    """Remove volumes with all that is in them; those that a container uses stay."""
    failed = False
    with opened(root) as engine:
        for name in names:
            try:
                engine.volumes.get(name).remove()
            except PyrtError as error:
                if force and isinstance(error, VolumeNotFound):
                    click.echo(name)
                    continue
                failed = True
                complain(str(error))
            else:
                click.echo(name)
    return int(failed)
