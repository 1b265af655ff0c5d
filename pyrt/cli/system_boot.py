"""`pyrt system boot`: what a daemon does when the machine has come up; for a unit of systemd, or @reboot of cron."""

from __future__ import annotations

import click

from pyrt.cli.format import complain
from pyrt.cli.shared import opened, verb
from pyrt.container import Container
from pyrt.errors import PyrtError
from pyrt.image import Image

__all__ = ["command"]


@verb("boot")
@click.pass_obj
def command(root: str | None) -> int:
    """Start the containers that are to run again when the machine has come up, and print their names.

    These are the ones with the policy `always`, and the ones with `unless-stopped` that nobody had stopped.
    """
    failed = 0

    def on_failure(container: Container[Image], error: PyrtError) -> None:
        nonlocal failed
        failed = 1
        complain(f"{container.name}: {error}")

    with opened(root) as engine:
        for each in engine.containers.boot(on_failure):
            click.echo(each.name)
    return failed
