"""`pyrt start`: containers that do not run, with `--attach` one at this terminal until its end.

With `--attach` the exit code is the container's; else 1 where one could not be started, as docker has it.
"""

from __future__ import annotations

import click

from pyrt.cli.detach_keys import parse_keys
from pyrt.cli.shared import attempt_each, containers, detach_keys, opened, verb
from pyrt.container import Container
from pyrt.errors import CommandError, InvalidOption, PyrtError
from pyrt.image import Image

__all__ = ["command"]


@verb("start")
@click.option("-a", "--attach", is_flag=True, help="Show its output until it ends, and pass signals on.")
@click.option("-i", "--interactive", is_flag=True, help="Also pass stdin on to it.")
@detach_keys
@containers
@click.pass_obj
def command(root: str | None, names: tuple[str, ...], attach: bool, interactive: bool, detach_keys: str) -> int:
    """Start containers."""
    keys = parse_keys(detach_keys)
    with opened(root) as engine:
        if not attach and not interactive:
            return attempt_each(engine, names, lambda each: each.start())
        if len(names) > 1:
            raise InvalidOption("you cannot start and attach multiple containers at once", argument="--attach")
        return _start_attached(engine.containers.get(names[0]), interactive, keys)


def _start_attached(container: Container[Image], interactive: bool, keys: bytes) -> int:
    from pyrt.cli.run import check_terminal
    from pyrt.cli.session import Session
    from pyrt.cli.signals import Inbox

    config = container.attrs["Config"]
    reads = interactive and config["OpenStdin"]
    check_terminal(has_tty=config["Tty"], reads=reads)
    ends_input = config["StdinOnce"] and not config["Tty"]
    with Inbox() as inbox:
        try:
            attachment = container.start(attach=True, stdin=reads)
        except CommandError as error:
            raise PyrtError(str(error)) from error  # docker's exit code is 1, whatever was wrong with the program
        with attachment:
            session = Session(container, attachment, reads=reads, ends_input=ends_input, keys=keys)
            return session.follow(inbox)
