"""`pyrt run`: a program in a new container, with this terminal as its own.

Exit codes are docker's: the program's own, 128+n where signal n ended it (137 also where it ran out of memory), 127
and 126 where it was not found or could not be executed, 125 where pyrt itself failed, 1 for a terminal that is none;
and 124, timeout(1)'s, after --timeout.

Signals are passed on. A program that is PID 1 and has no handler for a signal does not get it (pid_namespaces(7)), so
the third SIGINT or SIGTERM, as with docker, ends the wait: here the container with it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from subprocess import DEVNULL, PIPE
from typing import TYPE_CHECKING

from pyrt.cli.format import complain
from pyrt.cli.relay import Clip, Copy, follow
from pyrt.cli.request import Request, read_request
from pyrt.cli.signals import ENDING, INSISTING, PATIENCE, Inbox
from pyrt.engine import Engine
from pyrt.errors import InvalidOption
from pyrt.runtime.exit import OutOfMemory, TimedOut
from pyrt.runtime.process import Process
from pyrt.runtime.tty import size

if TYPE_CHECKING:
    from pyrt.cli.terminal import Raw
    from pyrt.image import OnProgress, Progress

__all__ = ["Part", "Session", "check_terminal", "exit_code", "pulling", "run", "terminal_size"]

TIMED_OUT = 124
OUT_OF_MEMORY = 137


class NotATerminal(InvalidOption):
    """-it where stdin is no terminal."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Part:
    """How this process takes part in a program: `reads` passes stdin on, `timeout` is in seconds.

    `whole` is what three signals that insist, or the timeout, end: the container, or a program in one.
    """

    tty: bool
    reads: bool
    sig_proxy: bool = True
    timeout: float | None = None
    output_limit_bytes: int | None = None
    whole: str = "container"


def run(words: Sequence[str], root: str | None = None) -> int:
    """Run what the words after `pyrt run` ask for, and give the exit code. Raises what Engine.popen raises."""
    request = read_request(words)
    if request.help:
        from pyrt.cli.help import show

        show()
        return 0
    if request.detach:
        from pyrt.cli.create import detach

        return detach(request, root)
    check_terminal(has_tty=request.tty, reads=_reads(request))
    with Inbox() as inbox, Engine(root) as engine, _start(engine, request, inbox) as process:
        part = Part(request.tty, _reads(request), request.sig_proxy, request.timeout, request.output_limit_bytes)
        session = Session(process, part)
        session.follow(inbox)
        return session.interrupted or exit_code(process)


def check_terminal(*, has_tty: bool, reads: bool) -> None:
    """Refuse to type into a program's terminal from anything else than a terminal."""
    if has_tty and reads and not os.isatty(0):
        raise NotATerminal("the input device is not a TTY")


def _reads(request: Request) -> bool:
    return request.interactive and "stdin" in request.attached


def _start(engine: Engine, request: Request, inbox: Inbox) -> Process:
    options = request.options.copy()
    with pulling(request, inbox) as on_progress:
        options["on_progress"] = on_progress
        if request.tty:
            options["console_size"] = terminal_size()
            return engine.popen(request.image, request.args, **options)
        taken = PIPE if request.output_limit_bytes is not None else None
        return engine.popen(
            request.image,
            request.args,
            stdin=0 if _reads(request) else DEVNULL,
            stdout=taken if "stdout" in request.attached else DEVNULL,
            stderr=taken if "stderr" in request.attached else DEVNULL,
            **options,
        )


@contextmanager
def pulling(request: Request, inbox: Inbox | None = None) -> Iterator[OnProgress]:
    """Give what shows a pull, on stderr, for stdout is the program's; it is loaded when there is something to show.

    A pull ends at the first Ctrl-C.
    """
    with ExitStack() as stack:
        show: list[OnProgress] = []

        def on_progress(event: Progress) -> None:
            if not show:
                from pyrt.cli.progress import shown

                if inbox is not None:
                    inbox.patience = 1
                show.append(stack.enter_context(shown(quiet=request.quiet, on_stderr=True)))
            show[0](event)

        yield on_progress
        if inbox is not None:
            inbox.patience = PATIENCE


class Session:
    """A program while it runs, and the streams, the terminal and the signals of this process around it.

    `interrupted` is the exit code of a run that a signal ended without being passed on, else 0.
    """

    def __init__(self, process: Process, part: Part) -> None:
        self._process = process
        self._part = part
        self._asked_to_end = 0
        self._raw: Raw | None = None
        self.interrupted = 0

    def follow(self, inbox: Inbox) -> None:
        """Take part in the program until it ends. However this is left, the terminal is as it was."""
        part, process = self._part, self._process
        with ExitStack() as stack:
            inputs = []
            if part.tty and part.reads and process.stdin is not None:
                from pyrt.cli.terminal import Raw  # termios is loaded where there is a terminal

                self._raw = stack.enter_context(Raw(0))
                master = process.stdin.fileno()
                inputs = [Copy(0, master, own=master)]
            inbox.is_served = True
            self._resize()  # it may have changed since it was asked for the start
            follow(process, inbox, self._on_signal, inputs=inputs, outputs=self._outputs(), timeout=part.timeout)

    def _outputs(self) -> list[Copy]:
        limit = self._part.output_limit_bytes
        return [
            Copy(stream.fileno(), target, own=stream.fileno(), clip=None if limit is None else Clip(limit))
            for target, stream in ((1, self._process.stdout), (2, self._process.stderr))
            if stream is not None
        ]

    def _on_signal(self, number: int) -> None:
        process = self._process
        if self._part.tty and number in (signal.SIGWINCH, signal.SIGCONT):
            if number == signal.SIGCONT and self._raw is not None:
                self._raw.set()
            self._resize()
            return
        if not self._part.sig_proxy:
            if number in ENDING:
                self.interrupted = self.interrupted or 128 + number
                process.kill()
            return
        self._asked_to_end += number in INSISTING
        if self._asked_to_end == PATIENCE and process.returncode is None:
            complain(f"got {PATIENCE} SIGINT or SIGTERM: the {self._part.whole} is killed")
            process.kill()
        else:
            process.send_signal(number)

    def _resize(self) -> None:
        now = terminal_size() if self._part.tty else None
        if now is not None and self._process.returncode is None:
            self._process.resize(*now)


def exit_code(process: Process) -> int:
    """Give docker's exit code for a container that has ended, with a note on stderr where the code says too little."""
    assert process.returncode is not None
    match process.exit_cause:
        case TimedOut():
            complain(f"{process.args[0]} {process.exit_cause}")
            return TIMED_OUT
        case OutOfMemory():
            complain(f"{process.args[0]} {process.exit_cause}")
            return OUT_OF_MEMORY
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def terminal_size() -> tuple[int, int] | None:
    """Give rows and columns of the terminal at stdout, or else at stdin; None where there is none."""
    return size(1) or size(0)
