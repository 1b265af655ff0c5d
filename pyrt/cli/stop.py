"""`pyrt stop`: end containers that run."""

from __future__ import annotations

import click

from pyrt.cli import values
from pyrt.cli.shared import attempt_each, containers, opened, signal_option, timeout_option, verb

__all__ = ["command"]


@verb("stop")
@signal_option
@timeout_option
@containers
@click.pass_obj
def command(root: str | None, names: tuple[str, ...], signal: str | None, timeout: int | None) -> int:
    """Ask containers to end, and kill those that do not."""
    number = None if signal is None else values.signal(signal, "--signal")
    with opened(root) as engine:
        return attempt_each(engine, names, lambda each: each.stop(timeout, signal=number))
