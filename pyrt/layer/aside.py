"""A second reader of a stream of chunks, in a thread of its own with bounded memory between the two."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["aside"]

_CHUNKS = 8  # of a megabyte or so each


@contextmanager
def aside(chunks: Iterable[bytes], consume: Callable[[Iterator[bytes]], object]) -> Iterator[Iterator[bytes]]:
    """Pass chunks through, and give the same to `consume` in a thread; it has ended when the context has.

    The context may be left only when the chunks are read to their end, or by an exception, which then also ends what
    `consume` reads. What `consume` raises is raised at the next chunk, or at the end.
    """
    reader = _Reader(consume)
    try:
        yield reader.feed(chunks)
        reader.end()
    except BaseException:
        reader.abandon()
        raise


class Abandoned(Exception):
    """The stream ends early, because of an error elsewhere."""


class _Reader:
    def __init__(self, consume: Callable[[Iterator[bytes]], object]) -> None:
        self._queue: queue.Queue[bytes | Abandoned | None] = queue.Queue(_CHUNKS)
        self._error: BaseException | None = None
        self._consume = consume
        self._thread = threading.Thread(target=self._run, name="pyrt-aside")
        self._thread.start()

    def feed(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Give each chunk after it was put aside."""
        for chunk in chunks:
            self._put(chunk)
            yield chunk

    def end(self) -> None:
        """Let the reader finish, and raise what it raised."""
        self._put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """Let the reader fail."""
        while self._thread.is_alive():
            with suppress(queue.Full):
                self._queue.put(Abandoned(), timeout=0.05)
                break
        self._thread.join()

    def _put(self, item: bytes | None) -> None:
        while self._thread.is_alive():
            with suppress(queue.Full):
                self._queue.put(item, timeout=0.5)  # a reader that has failed takes nothing any more
                return
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._consume(self._items())
        except BaseException as error:
            self._error = error

    def _items(self) -> Iterator[bytes]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, Abandoned):
                raise item
            yield item
