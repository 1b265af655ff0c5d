"""Attached clients of a container: what it writes from now on, and a way to its standard input."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from typing import Any, Self

from pyrt.container import life
from pyrt.container.create_options import check_create
from pyrt.container.documents import options_from_document
from pyrt.container.keeping import Keeping
from pyrt.container.record import KeptContainer
from pyrt.errors import InvalidArgument, Unavailable, WrongState
from pyrt.runtime.link import Link
from pyrt.runtime.protocol import CHUNK_BYTES, Attach, Message, Order

__all__ = ["Attachment", "resize", "started", "wanted"]


class Attachment:
    """A connection to a running container: iterate over it for pairs of a stream ("stdout", "stderr") and its bytes.

    The iteration ends with the container, whose exit code is then in `exit_code`; None where it is started again, or
    where this end was closed. A reader that is slow makes the program wait. With a terminal all is stdout. Close it,
    or use it as a context manager: the container goes on.
    """

    def __init__(self, link: Link, wants: Attach) -> None:
        self._link = link
        self.exit_code: int | None = None
        link.attach(wants | Attach.STATUS)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        while (told := self.read()) is not None:
            yield told

    def fileno(self) -> int:
        """Give a descriptor that polls readable when there is something to read."""
        return self._link.fileno()

    def read(self, timeout: float | None = None) -> tuple[str, bytes] | None:
        """Give the next piece of output; None at the end. Raises TimeoutError after `timeout` seconds.

        Raises Unavailable where there are too many clients.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.exit_code is None:
            try:
                told = self._link.receive(None if deadline is None else max(0.0, deadline - time.monotonic()))
            except Unavailable:
                return None
            if told is None:
                raise TimeoutError(f"the container wrote nothing in {timeout:g} seconds")
            if told.kind is Message.DONE and told.a == errno.EBUSY:
                raise Unavailable("there are too many clients at this container: close some")
            if told.kind is Message.OUTPUT:
                return ("stdout" if told.a == 1 else "stderr"), told.content
            if told.kind in (Message.EXITED, Message.FAILED) and not told.b:
                self.exit_code = told.a
        return None

    def write(self, content: bytes) -> None:
        """Send bytes to the program's standard input; what it has not room for waits. Raises Unavailable."""
        for at in range(0, len(content), CHUNK_BYTES):
            self._link.send(Order.INPUT, content=content[at : at + CHUNK_BYTES])

    def try_write(self, content: bytes) -> int:
        """Send what there is room for at this moment, and give how many bytes that was. Raises Unavailable."""
        piece = content[:CHUNK_BYTES]
        return len(piece) if self._link.try_send(Order.INPUT, content=piece) else 0

    def close_stdin(self) -> None:
        """End the program's standard input, while its output goes on to be read."""
        self._link.ask(Order.END_INPUT)

    def try_close_stdin(self) -> bool:
        """End the program's standard input, unless that would have to wait; say whether it was done."""
        return self._link.try_send(Order.END_INPUT)

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the terminal. Raises WrongState where there is none, InvalidArgument for a silly size."""
        resize(self._link, rows, columns)

    def close(self) -> None:
        """Leave. A second call does nothing."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def wanted(kept: KeptContainer, stdin: bool, stdout: bool, stderr: bool) -> Attach:
    """Say what a monitor is to send, whether this end is one that writes, and whether it may miss something."""
    _, log = check_create(options_from_document(kept.options))
    asked = (
        (stdin, Attach.STDIN),
        (stdout, Attach.STDOUT),
        (stderr, Attach.STDERR),
        (not log.is_blocking, Attach.LOSSY),
    )
    return Attach(sum(bit for is_asked, bit in asked if is_asked))


def started(keeping: Keeping[Any], kept: KeptContainer, wants: Attach | None) -> Attachment | None:
    """Start a container, attached before its program runs unless `wants` is None; see life.start."""
    made: list[Attachment] = []

    def before(link: Link) -> None:
        if wants is not None:
            made.append(Attachment(link, wants))

    link = life.start(keeping, kept, before)
    if made:
        return made[0]
    if link is not None:
        link.close()
    if wants is None:
        return None
    return Attachment(life.connect(keeping, kept), wants)


def resize(link: Link, rows: int, columns: int) -> None:
    """Tell a monitor the size of its container's terminal."""
    for name, value in (("rows", rows), ("columns", columns)):
        if not 0 <= value < 1 << 16:
            raise InvalidArgument(f"{value} is not between 0 and 65535", argument=name)
    if link.ask(Order.RESIZE, rows, columns):
        raise WrongState("the container has no terminal: create it with tty=True", have="no terminal", want="tty")
