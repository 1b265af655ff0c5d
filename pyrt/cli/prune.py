"""`pyrt image prune`: remove what nobody needs."""

from __future__ import annotations

import click

from pyrt.cli.shared import filters, opened, read_filters, verb
from pyrt.cli.units import size

__all__ = ["command"]


@verb("prune")
@click.option("-a", "--all", "everything", is_flag=True, help="Also images that have a tag, but no container.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@filters
@click.pass_obj
def command(root: str | None, everything: bool, force: bool, filters: tuple[str, ...]) -> None:
    """Remove images without a tag, and free what is unused."""
    what = "all images without a container" if everything else "all images without a tag"
    if not force:
        click.confirm(f"This will remove {what}. Are you sure you want to continue?", abort=True)
    with opened(root) as engine:
        removed = engine.images.prune(read_filters(filters), all=everything)
    if removed.untagged or removed.deleted:
        click.echo("Deleted Images:")
        for each in removed.untagged:
            click.echo(f"untagged: {each}")
        for each in removed.deleted:
            click.echo(f"deleted: {each}")
        click.echo()
    click.echo(f"Total reclaimed space: {size(removed.freed_bytes)}")
