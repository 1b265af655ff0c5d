"""`pyrt kill`: send a signal to containers that run."""

from __future__ import annotations

import click

from pyrt.cli import values
from pyrt.cli.shared import attempt_each, containers, opened, signal_option, verb

__all__ = ["command"]


@verb("kill")
@signal_option
@containers
@click.pass_obj
def command(root: str | None, names: tuple[str, ...], signal: str | None) -> int:
    """Kill containers, or send them another signal."""
    number = values.signal(signal or "KILL", "--signal")
    with opened(root) as engine:
        return attempt_each(engine, names, lambda each: each.kill(number))
