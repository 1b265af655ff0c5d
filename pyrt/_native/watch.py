"""Waiting for files of a directory to change (inotify(7)).

Takes a directory and the names that count there, gives a Watch.
"""

from __future__ import annotations

import os
import select
import struct
import threading
import time
import warnings
from collections.abc import Collection
from typing import Self

from pyrt._native import syscalls

__all__ = ["Watch"]

_IN_MODIFY, _IN_MOVED_TO, _IN_CREATE = 0x2, 0x80, 0x100
_EVENT = struct.Struct("iIII")  # which watch, what happened, cookie, length of the name after it
_ROOM_BYTES = 64 << 10


class Watch:
    """Waits until one of `names` in `directory` is written to, made, or renamed to.

    What happens between two waits ends the second at once. `wake` ends a wait from any thread. Close it, or use it as
    a context manager. Raises SyscallError, where the limits of inotify are used up or the directory is missing.
    """

    def __init__(self, directory: str, names: Collection[str]) -> None:
        self._names = frozenset(os.fsencode(name) for name in names)
        self._lock = threading.Lock()
        self._inotify = self._event = -1
        try:
            self._inotify = syscalls.inotify()
            self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            syscalls.inotify_add_watch(self._inotify, directory, _IN_MODIFY | _IN_MOVED_TO | _IN_CREATE)
        except BaseException:
            self.close()
            raise

    def wait(self, seconds: float) -> None:
        """Wait for a change, for `wake`, or so long at most; Ctrl-C ends it too."""
        poll = select.poll()
        poll.register(self._inotify, select.POLLIN)
        poll.register(self._event, select.POLLIN)
        end = time.monotonic() + seconds
        while True:
            ready = poll.poll(max(0, end - time.monotonic()) * 1000)
            if not ready or any(fd == self._event for fd, _ in ready) or self._has_changed():
                return

    def wake(self) -> None:
        """End this wait and all that follow."""
        with self._lock:
            if self._event >= 0:
                os.eventfd_write(self._event, 1)

    def close(self) -> None:
        """Free it. A second call does nothing; no thread may wait."""
        with self._lock:
            mine, self._inotify, self._event = (self._inotify, self._event), -1, -1
        for fd in mine:
            if fd >= 0:
                os.close(fd)

    def _has_changed(self) -> bool:
        """Take the events that are there; say whether one of them counts."""
        try:
            events = os.read(self._inotify, _ROOM_BYTES)
        except BlockingIOError:
            return False
        at = 0
        while at < len(events):
            _, _, _, length = _EVENT.unpack_from(events, at)
            at += _EVENT.size + length
            name = events[at - length : at].rstrip(b"\0")
            if not name or name in self._names:  # without a name: some were lost, or the directory is gone
                return True
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self._inotify >= 0:
            warnings.warn("a watch on files was not closed", ResourceWarning, source=self, stacklevel=2)
            self.close()
