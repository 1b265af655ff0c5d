"""`pyrt volume prune`: remove what no container uses."""

from __future__ import annotations

import click

from pyrt.cli.shared import agrees, opened, read_filters, verb
from pyrt.cli.units import size

__all__ = ["command"]


@verb("prune")
@click.option("-a", "--all", "everything", is_flag=True, help="Also volumes that have a name.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Only what matches.")
@click.pass_obj
def command(root: str | None, everything: bool, force: bool, filters: tuple[str, ...]) -> None:
    """Remove anonymous volumes that no container uses.

    Filters are label=KEY[=VALUE] and label!=KEY[=VALUE]; all=true is --all.
    """
    wanted = read_filters(filters)  # `label!=KEY` is one of `label!`
    what = "all" if everything else "anonymous"
    question = f"WARNING! This will remove {what} local volumes not used by at least one container.\n"
    if not force and not agrees(f"{question}Are you sure you want to continue? [y/N] "):
        return
    with opened(root) as engine:
        removed = engine.volumes.prune({**wanted, **({"all": True} if everything else {})})
    if removed["VolumesDeleted"]:
        click.echo("Deleted Volumes:")
        for each in removed["VolumesDeleted"]:
            click.echo(each)
        click.echo()
    click.echo(f"Total reclaimed space: {size(removed['SpaceReclaimed'], 4)}")
