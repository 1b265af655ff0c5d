"""What comes into a journal, as it comes."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Generic, Self, TypeVar

from pyrt._native.watch import Watch
from pyrt.state.journal import Journal

__all__ = ["Following"]

T = TypeVar("T", covariant=True)
_WAIT_SECONDS = 1.0


class Following(Iterator[T], Generic[T]):
    """The values of a journal's lines, and of those that come, until `ended` says that none will, or the time is
    `until_ns`.

    `parse` gives the values of a block of lines. `ended` is asked when one of the files `names` beside the journal
    changes, and once a second; what was written before it says so is given. `close` may be called by any thread:
    then there is no next one. Use it as a context manager.
    """

    def __init__(
        self,
        path: str,
        parse: Callable[[bytes], Iterable[T]],
        *,
        start: Callable[[Journal], None],
        ended: Callable[[], bool] = lambda: False,
        names: Collection[str] = (),
        until_ns: int | None = None,
    ) -> None:
        self._parse, self._ended, self._until_ns = parse, ended, until_ns
        self._lock = threading.Lock()
        self._closed = threading.Event()
        directory, name = os.path.split(path)
        self._watch = Watch(directory, {name, *names})  # before the first look, so that nothing comes between
        self._journal: Journal | None = None
        try:
            self._journal = Journal(path)
            start(self._journal)
        except BaseException:
            self._free()
            raise
        self._values = self._follow(self._journal)

    def close(self) -> None:
        """End it: a thread that waits for the next value gets none. A second call does nothing."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._watch.wake()
        with self._lock:
            self._free()

    def __next__(self) -> T:
        with self._lock:
            try:
                return next(self._values)
            except BaseException:
                self._closed.set()
                self._free()
                raise

    def _follow(self, journal: Journal) -> Iterator[T]:
        while not self._closed.is_set():
            is_last = self._is_late() or self._ended()
            for block in journal.blocks():
                for value in self._parse(block):
                    yield value
                    if self._closed.is_set():
                        return
            if is_last:
                return
            self._watch.wait(self._pause_seconds())

    def _is_late(self) -> bool:
        return self._until_ns is not None and time.time_ns() >= self._until_ns

    def _pause_seconds(self) -> float:
        if self._until_ns is None:
            return _WAIT_SECONDS
        return min(_WAIT_SECONDS, max(0, self._until_ns - time.time_ns()) / 1e9)

    def _free(self) -> None:
        self._watch.close()
        if self._journal is not None:
            self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_values") and not self._closed.is_set():
            warnings.warn("what follows a journal was not closed", ResourceWarning, source=self, stacklevel=2)
            self.close()
