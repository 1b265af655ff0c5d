"""`pyrt restart`: end containers and start them again."""

from __future__ import annotations

import click

from pyrt.cli import values
from pyrt.cli.shared import attempt_each, containers, opened, signal_option, timeout_option, verb

__all__ = ["command"]


@verb("restart")
@signal_option
@timeout_option
@containers
@click.pass_obj
def command(root: str | None, names: tuple[str, ...], signal: str | None, timeout: int | None) -> int:
    """Stop containers and start them again."""
    number = None if signal is None else values.signal(signal, "--signal")
    with opened(root) as engine:
        return attempt_each(engine, names, lambda each: each.restart(timeout, signal=number))
