"""This terminal, or whatever stdin, stdout and stderr are, as a client of a container that its monitor keeps.

One loop on one poll(2). Output is taken only as fast as it can be passed on, and neither way waits for the other: a
program that writes before it reads goes on.
"""

from __future__ import annotations

import os
import select
import signal
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pyrt.cli.detach_keys import DetachKeys
from pyrt.cli.format import complain
from pyrt.cli.relay import CHUNK, PORTION
from pyrt.cli.run import terminal_size
from pyrt.cli.signals import ENDING, INSISTING, PATIENCE, Inbox
from pyrt.cli.terminal import Raw
from pyrt.container import Attachment, Container
from pyrt.errors import InvalidArgument, Unavailable, WrongState
from pyrt.image import Image

__all__ = ["Session"]

LEFT = "read escape sequence"  # docker's words


class Session:
    """One attachment from its beginning to the container's end, or until it is left.

    `keys` leave it, at a terminal; `reads` says whether stdin is passed on, and `ends_input` whether its end is that of
    the program's input. `sig_proxy` passes signals on; else one that asks for an end ends this side alone.
    """

    def __init__(
        self,
        container: Container[Image],
        attachment: Attachment,
        *,
        reads: bool,
        ends_input: bool = False,
        sig_proxy: bool = True,
        keys: bytes = b"",
    ) -> None:
        self._container, self._attachment = container, attachment
        self._tty = container.has_tty
        self._reads, self._ends_input, self._sig_proxy = reads, ends_input, sig_proxy
        self._keys = DetachKeys(keys if self._tty else b"")
        self._said: deque[tuple[int, memoryview]] = deque()
        self._typed = b""
        self._owes_end = False
        self._is_over = False
        self._raw: Raw | None = None
        self._insisted = 0
        self._left: int | None = None

    def follow(self, inbox: Inbox) -> int:
        """Take part until the end; give the exit code of the container, or 0 where the keys have left it."""
        with self._terminal():
            inbox.is_served = True
            self.resize()
            while self._left is None:
                self._take()
                if self._is_over and not self._said:
                    break
                self._step(inbox)
        if self._left is not None:
            return self._left
        if self._attachment.exit_code is not None:
            return self._attachment.exit_code
        return int(self._container.wait()["StatusCode"])

    def resize(self) -> None:
        """Give the program's terminal the size of this one."""
        now = terminal_size() if self._tty else None
        if now is not None:
            with suppress(WrongState, Unavailable, InvalidArgument):  # it has ended meanwhile, or has a silly size
                self._container.resize(*now)

    @contextmanager
    def _terminal(self) -> Iterator[None]:
        if not (self._tty and self._reads):
            yield
            return
        with Raw(0) as self._raw:
            yield

    def _take(self) -> None:
        """Take what the program has written, unless something of that is still to be passed on."""
        while not self._said and not self._is_over:
            try:
                told = self._attachment.read(0)
            except TimeoutError:
                return
            if told is None:
                self._is_over = True
            else:
                self._said.append((1 if told[0] == "stdout" else 2, memoryview(told[1])))

    def _step(self, inbox: Inbox) -> None:
        """Wait for anything to happen, and see to it."""
        link = self._attachment.fileno()
        ready = self._poll(inbox, link)
        if ready.get(inbox.fileno()):
            for number in inbox.take():
                self._on_signal(number)
        if self._said and ready.get(self._said[0][0]):
            self._write()
        if (self._typed or self._owes_end) and ready.get(link):
            self._send()
        elif self._reads and not self._typed and ready.get(0):
            self._read()

    def _poll(self, inbox: Inbox, link: int) -> dict[int, int]:
        wanted = {inbox.fileno(): select.POLLIN}
        if self._said:
            wanted[self._said[0][0]] = select.POLLOUT
        elif not self._is_over:
            wanted[link] = select.POLLIN
        if self._typed or self._owes_end:
            wanted[link] = wanted.get(link, 0) | select.POLLOUT
        elif self._reads:
            wanted[0] = select.POLLIN
        poll = select.poll()
        for fd, events in wanted.items():
            poll.register(fd, events)
        return dict(poll.poll())

    def _write(self) -> None:
        fd, content = self._said[0]
        try:
            written = os.write(fd, content[:PORTION])
        except BlockingIOError:
            return
        if written == len(content):
            self._said.popleft()
        else:
            self._said[0] = (fd, content[written:])

    def _read(self) -> None:
        try:
            typed = os.read(0, CHUNK)
        except BlockingIOError:
            return
        self._typed = self._keys.feed(typed) if typed else self._keys.finish()
        if self._keys.is_found:
            complain_left(self._raw)
            self._left = 0
        if not typed:
            self._reads, self._owes_end = False, self._ends_input

    def _send(self) -> None:
        try:
            if self._typed:
                self._typed = self._typed[self._attachment.try_write(self._typed) :]
            elif self._attachment.try_close_stdin():
                self._owes_end = False
        except Unavailable:  # it has ended, which its output says
            self._reads, self._typed, self._owes_end = False, b"", False

    def _on_signal(self, number: int) -> None:
        if self._tty and number in (signal.SIGWINCH, signal.SIGCONT):
            if number == signal.SIGCONT and self._raw is not None:
                self._raw.set()
            self.resize()
            return
        self._insisted += number in INSISTING
        if self._insisted == PATIENCE and self._sig_proxy:
            complain(f"got {PATIENCE} SIGINT or SIGTERM: the container is left alone")
            self._left = 1
        elif self._sig_proxy:
            with suppress(WrongState, Unavailable):  # it has ended meanwhile
                self._container.kill(number)
        elif number in ENDING:
            self._left = 128 + number


def complain_left(raw: Raw | None) -> None:
    """Say that the keys were seen, while the terminal is still raw."""
    os.write(2, (LEFT + ("\r\n" if raw is not None else "\n")).encode())
