"""`pyrt exec`: a further program in a container that runs, with this terminal as its own.

Exit codes are docker's: the program's own, 128+n where signal n ended it; 127 where it was not found, 126 where it, its
user or its directory cannot be had; 1 for a container that is not there or does not run, for words that are missing,
for a terminal that is none, and for whatever is wrong with -d; 125 where pyrt itself failed; and 124, timeout(1)'s,
after --timeout.

The program is not PID 1 of anything, so a signal that is passed on ends it as it would end any other. Unlike docker's
it ends with this command, be that killed, unless it was started with -d.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from subprocess import DEVNULL
from typing import TYPE_CHECKING

from pyrt.cli import exec_flags
from pyrt.cli.arguments import read_flags
from pyrt.cli.format import complain, in_flags
from pyrt.cli.main import FAILED, REFUSED
from pyrt.cli.request import collect, joined_environment
from pyrt.cli.run import Part, Session, check_terminal, exit_code, terminal_size
from pyrt.cli.signals import Inbox
from pyrt.engine import Engine
from pyrt.errors import ContainerNotFound, InvalidArgument, InvalidOption, PyrtError, WrongState
from pyrt.runtime.exec import ExecOptions

if TYPE_CHECKING:
    from pyrt.container import Container
    from pyrt.image import Image

__all__ = ["exec"]

NOT_EXECUTABLE = 126


class MissingWord(InvalidOption):
    """There is no CONTAINER, or no COMMAND."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Request:
    """A program to start in a container, and how this terminal takes part in it; `timeout` is in seconds."""

    container: str = ""
    args: tuple[str, ...] = ()
    options: ExecOptions = field(default_factory=ExecOptions)
    interactive: bool = False
    detach: bool = False
    timeout: float | None = None
    help: bool = False

    @property
    def tty(self) -> bool:
        """Whether the program gets a terminal."""
        return bool(self.options.get("tty"))


def read_request(words: Sequence[str]) -> Request:
    """Read `[FLAGS] CONTAINER [--] COMMAND [ARG…]`. Raises InvalidOption, which names the flag."""
    given, rest = read_flags(exec_flags.BY_NAME, exec_flags.REFUSED, words)
    values = collect(given)
    if values.get("help"):
        return Request(help=True)
    for name, word in (("CONTAINER", rest[:1]), ("COMMAND", args := rest[2:] if rest[1:2] == ["--"] else rest[1:])):
        if not word:
            raise MissingWord("is missing; pyrt exec --help shows how to call it", argument=name)
    detach, tty, timeout = (values.get(name) for name in ("detach", "tty", "timeout"))
    if detach and tty:
        raise InvalidOption("a program that is detached has no terminal: leave out one of the two", argument="--tty")
    if detach and timeout is not None:
        raise InvalidOption("nobody is there to see to it: leave out -d", argument="--timeout")
    options = ExecOptions(
        user=values.get("user"),
        workdir=values.get("workdir"),
        environment=joined_environment(values),
        privileged=values.get("privileged"),
        tty=tty,
    )
    return Request(rest[0], tuple(args), options, values.get("interactive", False), bool(detach), timeout)


def exec(words: Sequence[str], root: str | None = None) -> int:
    """Run what the words after `pyrt exec` ask for, and give the exit code. Raises what Container.exec raises."""
    request = read_request(words)
    if request.help:
        from pyrt.cli.help import show

        show("exec")
        return 0
    try:
        with Inbox() as inbox, Engine(root) as engine:
            container = engine.containers.get(request.container)
            if request.detach:
                container.exec_run(request.args, detach=True, **request.options)
                return 0
            check_terminal(has_tty=request.tty, reads=request.interactive)
            return _follow(container, request, inbox)
    except PyrtError as error:
        if request.detach or isinstance(error, (ContainerNotFound, WrongState)):
            code = REFUSED
        elif isinstance(error, InvalidArgument) and error.exit_code == FAILED:
            code = NOT_EXECUTABLE
        else:
            raise
        complain(in_flags(str(error)))
        return code


def _follow(container: Container[Image], request: Request, inbox: Inbox) -> int:
    options = request.options
    if request.tty:
        options = ExecOptions(**{**options, "console_size": terminal_size()})
        started = container.exec(request.args, **options)
    else:
        started = container.exec(request.args, stdin=0 if request.interactive else DEVNULL, **options)
    with started as process:
        part = Part(request.tty, request.interactive, timeout=request.timeout, whole="program")
        Session(process, part).follow(inbox)
        return exit_code(process)
