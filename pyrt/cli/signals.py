"""Signals as something to poll.

They are caught before there is a container, so that none is lost that comes while one starts. A handler that did the
work itself could interrupt the very call it needs, with its lock held; so the handlers do nothing, and the number of
each signal comes through a pipe (signal.set_wakeup_fd), in order and without a race.
"""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType
from typing import Self

__all__ = ["ENDING", "INSISTING", "PATIENCE", "Inbox"]

# All that ask for something. Left out: what cannot be caught, what reports a fault of the process itself, children
# (SIGCHLD), pipes (SIGPIPE), and what the shell's job control stops it with.
CAUGHT = (
    *("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF"),
    *("SIGWINCH", "SIGCONT", "SIGIO", "SIGPWR"),
)

INSISTING = frozenset({signal.SIGINT, signal.SIGTERM})
PATIENCE = 3  # of these two, as docker counts them
ENDING = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM})


class Inbox:
    """Catches signals while it is entered, and gives their numbers. In the main thread only.

    Until `is_served`, nobody acts upon them; then the third that insists is a KeyboardInterrupt, or the first where
    there is no container yet to wait for it: see `patience`.
    """

    def __init__(self) -> None:
        self.is_served = False
        self.patience = PATIENCE
        self._insisted = 0

    def __enter__(self) -> Self:
        self._reading, self._writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        numbers = [*(signal.Signals[name] for name in CAUGHT), *range(signal.SIGRTMIN, signal.SIGRTMAX + 1)]
        # What is ignored stays so: that is how nohup(1) and shells keep a command alive.
        self._handlers = {n: signal.getsignal(n) for n in numbers if signal.getsignal(n) != signal.SIG_IGN}
        for number in self._handlers:
            signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._reading)
        os.close(self._writing)

    def fileno(self) -> int:
        """Give the descriptor that is readable when signals have come."""
        return self._reading

    def take(self) -> bytes:
        """Give the numbers of the signals that have come, each once for each time."""
        try:
            return os.read(self._reading, 512)
        except BlockingIOError:
            return b""

    def _note(self, number: int, frame: FrameType | None) -> None:
        """Be called, for without a handler Python would not write to the pipe."""
        self._insisted += number in INSISTING
        if self._insisted >= self.patience and not self.is_served:
            raise KeyboardInterrupt
