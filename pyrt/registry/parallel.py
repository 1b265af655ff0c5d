"""One large blob over several connections, where one alone is slow.

A connection that brings more than `parallel_below_bytes_per_second`, the reader's own time not counted, is left alone:
more of them would only cost. Else the rest is cut into segments, which as many threads fetch, each over a connection of
its own; the reader gets them in order. What has arrived and is not yet read is bounded by one segment a connection.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator

from pyrt.registry.download import NoRanges, Stream
from pyrt.registry.options import RegistryOptions
from pyrt.registry.retry import Cancelled

__all__ = ["SEGMENT_BYTES", "adaptive"]

SEGMENT_BYTES = 4 << 20
_TRIAL_BYTES = 4 << 20  # what is measured: a connection takes some time to gain speed

Part = Callable[[int, int, Cancelled], Stream]


def adaptive(stream: Stream, part: Part, connections: int, options: RegistryOptions) -> Generator[bytes, None, None]:
    """Give the bytes of a stream, from some point on over several connections where that promises to be faster."""
    size = stream.end
    trial_end = _TRIAL_BYTES
    if connections < 2 or not stream.accepts_ranges or size < max(options.parallel_threshold_bytes, trial_end):
        yield from stream.chunks()
        return
    for chunk in stream.chunks():
        yield chunk
        if stream.offset_bytes < trial_end:
            continue
        is_slow = stream.offset_bytes < stream.waited_seconds * options.parallel_below_bytes_per_second
        if is_slow and size - stream.offset_bytes >= SEGMENT_BYTES:
            break
        trial_end = size if not is_slow else trial_end
    if stream.offset_bytes < size:
        yield from _spread(stream, part, connections, size)


_Arriving = queue.SimpleQueue[bytes | BaseException | None]


def _spread(stream: Stream, part: Part, connections: int, size: int) -> Generator[bytes, None, None]:
    """Give the rest: the stream goes on to its next segment's end, threads fetch what follows."""
    stream.end = min(stream.offset_bytes + SEGMENT_BYTES, size)
    with _Segments(part, stream.end, size, connections) as segments:
        yield from stream.chunks()
        stream.close()
        try:
            for chunk in segments.chunks():
                stream.offset_bytes += len(chunk)
                yield chunk
        except NoRanges:  # it said otherwise; there is still the long way
            pass
    stream.end = size
    yield from stream.chunks()


class _Segments:
    """The threads that fetch segments, and the queues on which these arrive; a context manager that ends them."""

    def __init__(self, part: Part, first: int, size: int, connections: int) -> None:
        self._part = part
        self._size = size
        self._starts = range(first, size, SEGMENT_BYTES)
        self._queues: dict[int, _Arriving] = {}  # of the segments under way: an announced size may be any
        self._room = threading.Semaphore(connections)
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._taken = 0
        count = min(connections, len(self._starts))
        self._threads = [threading.Thread(target=self._work, name="pyrt-blob", daemon=True) for _ in range(count)]

    def __enter__(self) -> _Segments:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for _thread in self._threads:
            self._room.release()
        for thread in self._threads:
            thread.join()

    def chunks(self) -> Generator[bytes, None, None]:
        """Give the bytes in order. Raises what a thread met."""
        for number in range(len(self._starts)):
            arriving = self._queue(number)
            while (item := arriving.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
            with self._lock:
                del self._queues[number]
            self._room.release()

    def _queue(self, number: int) -> _Arriving:
        with self._lock:
            return self._queues.setdefault(number, queue.SimpleQueue())

    def _work(self) -> None:
        while True:
            self._room.acquire()
            with self._lock:
                number = self._taken
                if self._stopped.is_set() or number == len(self._starts):
                    return
                self._taken += 1
                start = self._starts[number]
                stream = self._part(start, min(start + SEGMENT_BYTES, self._size), self._stopped.is_set)
            self._fetch(stream, self._queue(number))

    def _fetch(self, stream: Stream, arriving: _Arriving) -> None:
        try:
            for chunk in stream.chunks():
                arriving.put(chunk)
            arriving.put(None)
        except BaseException as error:  # it is the reader's, who raises it
            arriving.put(error)
        finally:
            stream.finish()
