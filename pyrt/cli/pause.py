"""`pyrt pause`: freeze what runs in containers."""

from __future__ import annotations

import click

from pyrt.cli.shared import attempt_each, containers, opened, verb

__all__ = ["command"]


@verb("pause")
@containers
@click.pass_obj
def command(root: str | None, names: tuple[str, ...]) -> int:
    """Freeze all processes of containers."""
    with opened(root) as engine:
        return attempt_each(engine, names, lambda each: each.pause())
