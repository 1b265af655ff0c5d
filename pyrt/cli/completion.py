"""`pyrt completion`: what a shell needs to complete the words of `pyrt`, through click."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from pyrt.cli.shared import verb

__all__ = ["command"]

VARIABLE = "_PYRT_COMPLETE"  # click's, of the program's name


@verb("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print what completes the words of `pyrt`: in bash, `source <(pyrt completion bash)`."""
    kind = get_completion_class(shell)
    assert kind is not None  # Choice has them all
    click.echo(kind(context.find_root().command, {}, "pyrt", VARIABLE).source())
