"""`pyrt wait`: wait for the end of containers."""

from __future__ import annotations

import click

from pyrt.cli.shared import attempt_each, containers, opened, verb

__all__ = ["command"]


@verb("wait")
@containers
@click.pass_obj
def command(root: str | None, names: tuple[str, ...]) -> int:
    """Wait until containers have ended, and print their exit codes."""
    with opened(root) as engine:
        return attempt_each(engine, names, lambda each: each.wait()["StatusCode"])
