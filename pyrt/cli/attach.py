"""`pyrt attach`: this terminal at a container that runs."""

from __future__ import annotations

import click

from pyrt.cli.complete import container_names
from pyrt.cli.detach_keys import parse_keys
from pyrt.cli.shared import detach_keys, opened, verb
from pyrt.errors import WrongState

__all__ = ["command"]

_MENDS = {"paused": "unpause it first", "restarting": "wait until it is running"}


@verb("attach")
@click.option("--no-stdin", is_flag=True, help="Do not pass stdin on.")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Pass signals on to the program (default true).")
@detach_keys
@click.argument("name", metavar="CONTAINER", shell_complete=container_names)
@click.pass_obj
def command(root: str | None, name: str, no_stdin: bool, sig_proxy: bool, detach_keys: str) -> int:
    """Take part in the streams of a container that runs, until its end; the exit code is its."""
    from pyrt.cli.run import check_terminal
    from pyrt.cli.session import Session
    from pyrt.cli.signals import Inbox

    keys = parse_keys(detach_keys)
    with opened(root) as engine:
        container = engine.containers.get(name)
        status = container.status
        if status != "running":
            what = status if status in _MENDS else "stopped"
            mend = _MENDS.get(status, "start it first")
            message = f"{name}: you cannot attach to a {what} container, {mend}"
            raise WrongState(message, have=status, want="running")
        config = container.attrs["Config"]
        reads = config["OpenStdin"] and not no_stdin
        check_terminal(has_tty=config["Tty"], reads=reads)
        ends_input = config["StdinOnce"] and not config["Tty"]
        with Inbox() as inbox, container.attach(stdin=reads) as attachment:
            session = Session(container, attachment, reads=reads, ends_input=ends_input, sig_proxy=sig_proxy, keys=keys)
            return session.follow(inbox)
