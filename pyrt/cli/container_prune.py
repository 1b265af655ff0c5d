"""`pyrt container prune`: remove what does not run."""

from __future__ import annotations

import click

from pyrt.cli.shared import agrees, opened, read_filters, verb

__all__ = ["command"]

WARNING = "WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] "


@verb("prune")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Only what matches.")
@click.pass_obj
def command(root: str | None, force: bool, filters: tuple[str, ...]) -> None:
    """Remove all containers that do not run, with what their programs have written."""
    wanted = read_filters(filters)
    if not force and not agrees(WARNING):
        return
    with opened(root) as engine:
        removed = engine.containers.prune(wanted)
    if removed:
        click.echo("Deleted Containers:")
        for id in removed:
            click.echo(id)
