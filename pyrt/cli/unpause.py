"""`pyrt unpause`: let frozen containers go on."""

from __future__ import annotations

import click

from pyrt.cli.shared import attempt_each, containers, opened, verb

__all__ = ["command"]


@verb("unpause")
@containers
@click.pass_obj
def command(root: str | None, names: tuple[str, ...]) -> int:
    """Let all processes of paused containers go on."""
    with opened(root) as engine:
        return attempt_each(engine, names, lambda each: each.unpause())
