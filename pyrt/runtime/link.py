"""A connection to the monitor of a container: orders go out, messages come in."""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from pyrt.errors import Unavailable, WrongState
from pyrt.runtime.protocol import CHUNK_BYTES, PACKET, Attach, Message, Order
from pyrt.runtime.wait import wait_readable

__all__ = ["Link", "Told"]

_ANSWER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Told:
    """One message; what `a` and `b` mean depends on the kind. `fd` is the receiver's to close."""

    kind: Message
    a: int
    b: int
    content: bytes
    fd: int | None = None


class Link:
    """One client of a monitor. Its methods are for one thread at a time."""

    def __init__(self, connection: socket.socket, name: str) -> None:
        self._socket = connection
        self._name = name
        self._waiting: deque[Told] = deque()

    @classmethod
    def connect(cls, directory: str, name: str) -> Link:
        """Connect to the monitor of the container in `directory`. Raises WrongState where none is there."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        try:
            directory_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:  # a socket's path has room for 108 bytes
                connection.connect(f"/proc/self/fd/{directory_fd}/socket")
            finally:
                os.close(directory_fd)
        except OSError as error:
            connection.close()
            if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
                raise WrongState(f"container {name} is not running", have="exited", want="running") from error
            raise
        return cls(connection, name)

    def fileno(self) -> int:
        """Give the descriptor, which polls readable when there is a message."""
        return self._socket.fileno()

    def send(self, order: Order, a: int = 0, b: int = 0, content: bytes = b"", fds: tuple[int, ...] = ()) -> None:
        """Send an order without waiting for an answer. Raises Unavailable where the monitor is gone."""
        try:
            socket.send_fds(self._socket, [PACKET.pack(order, a, b), content], fds, socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._gone() from error

    def try_send(self, order: Order, a: int = 0, b: int = 0, content: bytes = b"") -> bool:
        """Send an order unless that would have to wait; say whether it was sent. Raises Unavailable."""
        try:
            self._socket.sendmsg([PACKET.pack(order, a, b), content], (), socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._gone() from error
        return True

    def ask(self, order: Order, a: int = 0, b: int = 0, content: bytes = b"", fds: tuple[int, ...] = ()) -> int:
        """Send an order and give the errno of its answer, 0 for success. Other messages wait for `receive`."""
        self.send(order, a, b, content, fds)
        return self._answer(Message.DONE).a

    def attach(self, wants: Attach) -> None:
        """Say what is to be sent from now on."""
        self.send(Order.ATTACH, wants)

    def pidfd(self) -> tuple[int, int]:
        """Give the pid and a pidfd of the container's first process. Raises WrongState where it does not run."""
        self.send(Order.PIDFD)
        told = self._answer(Message.HERE, Message.DONE)
        if told.kind is Message.DONE or told.fd is None:
            raise WrongState(f"container {self._name} is not running", have="exited", want="running")
        return told.a, told.fd

    def receive(self, timeout: float | None = None) -> Told | None:
        """Give the next message; None after `timeout` seconds. Raises Unavailable where the monitor is gone."""
        if self._waiting:
            return self._waiting.popleft()
        if timeout is not None and not wait_readable(self._socket.fileno(), timeout):
            return None
        return self._receive()

    def expect(self, *kinds: Message) -> Told:
        """Give the next message of these kinds; others before it wait for `receive`."""
        others: list[Told] = []
        while (told := self.receive()) is None or told.kind not in kinds:
            others += [told] if told is not None else []
        self._waiting.extendleft(reversed(others))
        return told

    def close(self) -> None:
        """Leave. A second call does nothing."""
        for told in self._waiting:
            if told.fd is not None:
                os.close(told.fd)
        self._waiting.clear()
        self._socket.close()

    def _answer(self, *kinds: Message) -> Told:
        while True:
            if not wait_readable(self._socket.fileno(), _ANSWER_SECONDS):
                raise Unavailable(f"the monitor of container {self._name} does not answer; is it stopped?")
            told = self._receive()
            if told.kind in kinds:
                return told
            self._waiting.append(told)

    def _receive(self) -> Told:
        try:
            packet, fds, _, _ = socket.recv_fds(self._socket, PACKET.size + CHUNK_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError as error:
            raise self._gone() from error
        if len(packet) < PACKET.size:
            raise self._gone()
        kind, a, b = PACKET.unpack_from(packet)
        return Told(Message(kind), a, b, packet[PACKET.size :], fds[0] if fds else None)

    def _gone(self) -> Unavailable:
        return Unavailable(f"the monitor of container {self._name} has ended")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        with suppress(AttributeError):
            self.close()
