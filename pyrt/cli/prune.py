"""`pyrt image prune`: remove what nobody needs."""

from __future__ import annotations

import click

from pyrt.cli.shared import agrees, opened, read_filters, verb
from pyrt.cli.units import size

__all__ = ["command"]


@verb("prune")
@click.option("-a", "--all", "everything", is_flag=True, help="Also images that have a tag, but no container.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Only what matches.")
@click.pass_obj
def command(root: str | None, everything: bool, force: bool, filters: tuple[str, ...]) -> None:
    """Remove images without a tag, and free what is unused."""
    wanted = read_filters(filters)
    what = "all images without at least one container associated to them" if everything else "all dangling images"
    if not force and not agrees(f"WARNING! This will remove {what}.\nAre you sure you want to continue? [y/N] "):
        return
    with opened(root) as engine:
        removed = engine.images.prune(wanted, all=everything)
    if removed.untagged or removed.deleted:
        click.echo("Deleted Images:")
        for each in removed.untagged:
            click.echo(f"untagged: {each}")
        for each in removed.deleted:
            click.echo(f"deleted: {each}")
        click.echo()
    click.echo(f"Total reclaimed space: {size(removed.freed_bytes, 4)}")
