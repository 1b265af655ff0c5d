"""Read a stream ahead of its reader, in a thread with bounded memory; and hash one as it passes.

Takes iterables of bytes, gives iterators of the same bytes. Two stages of a pipeline so run on two cores, for hashing,
inflating and system calls release the GIL.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, Self

__all__ = ["Hashed", "ahead", "hashed"]

_LIMIT_BYTES = 4 << 20
_LOOK_SECONDS = 1.0


@contextmanager
def ahead(chunks: Iterable[bytes], limit_bytes: int = _LIMIT_BYTES) -> Iterator[Iterator[bytes]]:
    """Iterate over `chunks` in a thread that waits while `limit_bytes` or more are unread.

    What `chunks` raises is raised here, after the pieces before it. Leaving the context closes `chunks` where it has a
    close(), and ends the thread: as soon as the chunk that is being made is there. What it raises then is not wanted.
    """
    reader = _Reader(chunks, limit_bytes)
    try:
        yield reader
    finally:
        reader.stop()


class Hasher(Protocol):
    """A hashlib object."""

    def update(self, data: bytes, /) -> None: ...


class Hashed:
    """Chunks that pass through; `size_bytes` are those that have."""

    def __init__(self, chunks: Iterable[bytes], hasher: Hasher) -> None:
        self._chunks = iter(chunks)
        self._hasher = hasher
        self.size_bytes = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
        self._hasher.update(chunk)
        self.size_bytes += len(chunk)
        return chunk


def hashed(chunks: Iterable[bytes], hasher: Hasher) -> Hashed:
    """Give an iterator over `chunks` that updates a hashlib object with each and counts them."""
    return Hashed(chunks, hasher)


class _Reader:
    """The near end. `_changed` guards all that both threads use."""

    def __init__(self, chunks: Iterable[bytes], limit_bytes: int) -> None:
        self._chunks = chunks
        self._limit_bytes = limit_bytes
        self._changed = threading.Condition()
        self._ready: deque[bytes] = deque()
        self._ready_bytes = 0
        self._is_stopped = False
        self._is_ended = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="pyrt-ahead")
        self._thread.start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        with self._changed:
            while not self._ready and not self._is_ended:
                self._changed.wait()
            if not self._ready:
                error, self._error = self._error, None
                raise error or StopIteration
            chunk = self._ready.popleft()
            self._ready_bytes -= len(chunk)
            self._changed.notify_all()
            return chunk

    def stop(self) -> None:
        """End the thread, and forget what is unread."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        self._thread.join()
        self._ready.clear()

    def _run(self) -> None:
        try:
            try:
                for chunk in self._chunks:
                    if not self._put(chunk):
                        break
            finally:
                close = getattr(self._chunks, "close", None)
                if close is not None:
                    close()
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._is_ended = True
                self._changed.notify_all()

    def _put(self, chunk: bytes) -> bool:
        """Wait for room; say whether more is wanted."""
        with self._changed:
            while self._ready_bytes >= self._limit_bytes and not self._is_stopped:
                # The interpreter waits for this thread before it ends, also where nobody has left the context.
                if not self._changed.wait(_LOOK_SECONDS) and not threading.main_thread().is_alive():
                    return False
            self._ready.append(chunk)
            self._ready_bytes += len(chunk)
            self._changed.notify_all()
            return not self._is_stopped
