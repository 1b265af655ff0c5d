"""What passes between workers and their owner: messages with descriptors, streams of bytes, errors as they were."""

from __future__ import annotations

import errno
import json
import select
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from pyrt import errors
from pyrt.errors import PyrtError, SyscallError
from pyrt.layer.applied import Applied, Link, Pending, Skipped

__all__ = ["CHUNK_BYTES", "Line", "Severed", "pack_error", "pair", "unpack_applied", "unpack_error", "unpack_pending"]

CHUNK_BYTES = 1 << 18
_HEADER = struct.Struct("=II")  # size of the JSON text, number of descriptors
_INT = struct.Struct("=i")
_MAX_TEXT_BYTES = 1 << 28
_MAX_DESCRIPTORS = 1024
_BATCH = 64  # of descriptors in one message: SCM_MAX_FD is 253
_FRAME_SECONDS = 60.0  # for the rest of a message that has begun
_BUFFER_BYTES = 1 << 20


class Severed(Exception):
    """The other end is gone, or speaks nonsense."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Make two connected sockets with large buffers: unlike those of a pipe, their writers need not fear SIGPIPE."""
    ends = socket.socketpair()
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    return ends


class Line:
    """One end of a connection, which is this object's own; `peer`, a pidfd, is who has the other end.

    A peer that dies ends every wait, also where a forked child has a copy of its end. All methods raise Severed.
    """

    def __init__(self, end: socket.socket, peer: int = -1) -> None:
        self._end = end
        self._peer = peer

    def tell(self, message: object, fds: Sequence[int] = ()) -> None:
        """Send a message, and copies of descriptors."""
        text = json.dumps(message).encode()
        if len(text) > _MAX_TEXT_BYTES or len(fds) > _MAX_DESCRIPTORS:
            raise ValueError(f"a message of {len(text)} bytes and {len(fds)} descriptors is too large")
        self.send(_HEADER.pack(len(text), len(fds)))
        for start in range(0, len(fds), _BATCH):
            self._send_descriptors(fds[start : start + _BATCH])
        self.send(text)

    def hear(self, descriptors: list[int] | None = None) -> Any:
        """Give the next message; its descriptors are appended to the list, and are then the caller's."""
        size, count = _HEADER.unpack(self._exactly(_HEADER.size, None))
        if size > _MAX_TEXT_BYTES or count > (0 if descriptors is None else _MAX_DESCRIPTORS):
            raise Severed(f"it announces {size} bytes and {count} descriptors")
        while descriptors is not None and count > 0:
            taken = self._receive_descriptors()
            descriptors += taken
            count -= len(taken)
        try:
            return json.loads(self._exactly(size, _FRAME_SECONDS))
        except ValueError as e:
            raise Severed(f"it says what is no JSON: {e}") from e

    def send(self, data: bytes) -> None:
        """Send bytes."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._end.send(view, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT) :]
            except BlockingIOError:
                self._wait(select.POLLOUT)
            except OSError as e:
                raise Severed(str(e)) from e

    def receive(self, limit: int = CHUNK_BYTES, seconds: float | None = None) -> bytes:
        """Receive what is there, once something is; b"" at the end."""
        while True:
            try:
                return self._end.recv(limit, socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._wait(select.POLLIN, seconds)
            except OSError as e:
                raise Severed(str(e)) from e

    def chunks(self) -> Iterator[bytes]:
        """Receive all until the end."""
        while chunk := self.receive():
            yield chunk

    def end(self) -> None:
        """Say that no more comes, also where another process has a copy of this end."""
        try:
            self._end.shutdown(socket.SHUT_WR)
        except OSError as e:
            raise Severed(str(e)) from e

    def close(self) -> None:
        """Close this end. A second call does nothing."""
        self._end.close()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _exactly(self, size: int, seconds: float | None) -> bytes:
        parts: list[bytes] = []
        while size:
            part = self.receive(min(size, _BUFFER_BYTES), seconds)
            if not part:
                raise Severed("it ends in the middle of a message" if parts else "it says nothing")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _send_descriptors(self, fds: Sequence[int]) -> None:
        while True:
            try:
                socket.send_fds(self._end, [b"\0"], list(fds), socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
                return
            except BlockingIOError:
                self._wait(select.POLLOUT)
            except OSError as e:
                if e.errno not in (errno.EPIPE, errno.ECONNRESET):
                    raise SyscallError(e.errno or errno.EIO, "sendmsg", detail=f"{len(fds)} descriptors") from e
                raise Severed(str(e)) from e

    def _receive_descriptors(self) -> list[int]:
        while True:
            try:
                # Not recv_fds(), which takes flags and forgets them.
                flags = socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
                _, ancillary, _, _ = self._end.recvmsg(1, socket.CMSG_SPACE(_BATCH * _INT.size), flags)
            except BlockingIOError:
                self._wait(select.POLLIN, _FRAME_SECONDS)
                continue
            except OSError as e:
                raise Severed(str(e)) from e
            fds = [fd for _, _, packed in ancillary for (fd,) in _INT.iter_unpack(packed)]
            if not fds:
                raise Severed("descriptors are missing")
            return fds

    def _wait(self, event: int, seconds: float | None = None) -> None:
        waiter = select.poll()
        waiter.register(self._end, event)
        if self._peer >= 0:
            waiter.register(self._peer, select.POLLIN)
        ready = {fd for fd, _ in waiter.poll(None if seconds is None else seconds * 1000)}
        if self._end.fileno() not in ready:
            raise Severed("it has ended" if ready else f"it says nothing for {seconds:.0f} seconds")


def pack_error(error: BaseException) -> dict[str, Any]:
    """Turn an exception into what JSON can hold; one that is not pyrt's own is told with its traceback."""
    if isinstance(error, SyscallError):
        fields = [error.errno, error.op, error.filename, error.step, error.detail]
        return {"class": "SyscallError", "fields": fields}
    if isinstance(error, PyrtError):
        return {"class": type(error).__name__, "message": str(error), "fields": vars(error)}
    if isinstance(error, OSError) and error.errno:
        return {"class": "SyscallError", "fields": [error.errno, "work on a tree", error.filename, 0, ""]}
    import traceback

    return {"class": "", "message": repr(error), "fields": "".join(traceback.format_exception(error))}


def unpack_error(packed: dict[str, Any]) -> PyrtError:
    """Make the exception again."""
    name, fields = packed["class"], packed["fields"]
    if name == "SyscallError":
        return SyscallError(*fields)
    if name not in errors.__all__:
        failure = PyrtError(f"the process that works on trees has failed: {packed['message']}")
        failure.add_note(fields)
        return failure
    kind: type[PyrtError] = getattr(errors, name)
    error = kind.__new__(kind, packed["message"])
    vars(error).update(fields)
    return error


def unpack_applied(packed: Sequence[Any]) -> Applied:
    """Make the value of what astuple() gave."""
    size_bytes, entries, pending, skipped = packed
    return Applied(size_bytes, entries, unpack_pending(pending), Skipped(*skipped))


def unpack_pending(packed: Sequence[Any]) -> Pending:
    """Make the value of what astuple() gave."""
    implied, links, opaque_root = packed
    return Pending(tuple(implied), tuple(Link(*link) for link in links), opaque_root)
