"""Locks on files (flock(2)) that end with whoever holds them, however that ends.

Takes a path, gives a FileLock. The kernel frees it with the last descriptor, so no crash leaves a lock behind; only the
file may stay, which nobody has to mind.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
import warnings
import weakref
from collections.abc import Callable
from typing import Self

from pyrt.errors import ResourceBusy, SyscallError

__all__ = ["FileLock"]

_FIRST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.05
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK  # a fifo in the file's place must not hold anybody up


class FileLock:
    """A lock on the file at `path`, which is made where it is missing: exclusive, or `shared` with others that are.

    Waits until it is free. Ctrl-C ends the wait, and so does `cancelled`, asked every 50 ms at most, with ResourceBusy.
    Holders exclude each other also within one process. A file that was unlinked or replaced meanwhile is not the
    one that others lock: it is opened anew. Close the lock, or use it as a context manager.

    A forked child holds nothing: its copy is closed at once and counts as closed there, while the lock stays the
    parent's, and ends with the parent. Raises SyscallError.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        shared: bool = False,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self._fd = -1
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        pause = _FIRST_PAUSE_SECONDS
        while not self._take(kind if cancelled is None else kind | fcntl.LOCK_NB, os.O_CREAT):
            if cancelled is None:
                continue
            if cancelled():
                raise ResourceBusy(f"{self.path} is locked by another, and the wait for it was cancelled")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    @classmethod
    def attempt(cls, path: str | os.PathLike[str], *, shared: bool = False, create: bool = True) -> Self | None:
        """Give the lock if it is free now, else None. Raises SyscallError, ENOENT where `create` is False."""
        lock = cls.__new__(cls)
        lock.path = os.fspath(path)
        lock._fd = -1
        kind = fcntl.LOCK_NB | (fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        return lock if lock._take(kind, os.O_CREAT if create else 0) else None

    @property
    def is_held(self) -> bool:
        """Whether this process holds the lock: not after close, and not in a forked child."""
        return self._fd >= 0

    def fileno(self) -> int:
        """Give the descriptor of the file, for reading and writing; -1 where the lock is not held."""
        return self._fd

    def unlink(self) -> None:
        """Remove the file and end the lock: who waits for it makes another. Raises SyscallError."""
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
        except OSError as e:
            raise SyscallError(e.errno or errno.EIO, "unlink", self.path) from e
        finally:
            self.close()

    def close(self) -> None:
        """End the lock; the file stays. A second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        _held.discard(self)
        try:
            fcntl.flock(fd, fcntl.LOCK_UN)  # closing would not do it while a child that was forked has a copy
        finally:
            os.close(fd)

    def hand_over(self) -> None:
        """Close the copy of this process, because a process that has another holds the lock from now on."""
        _held.discard(self)
        self._forget()

    def _take(self, kind: int, create: int) -> bool:
        """Open and lock the file; False where it is another's now, or was replaced under our hands."""
        while True:
            try:
                self._fd = os.open(self.path, _FLAGS | create, 0o600)
                _held.add(self)
                fcntl.flock(self._fd, kind)
                if self._is_current():
                    return True
                self.close()
            except BlockingIOError:
                self.close()
                return False
            except OSError as e:
                self.close()
                raise SyscallError(e.errno or errno.EIO, "lock", self.path) from e
            except BaseException:
                self.close()
                raise

    def _is_current(self) -> bool:
        mine = os.fstat(self._fd)
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)

    def _forget(self) -> None:
        """Close the copy of a forked child."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            warnings.warn(f"the lock on {self.path} was not closed", ResourceWarning, source=self, stacklevel=2)
            self.close()


class _Held:
    """All locks of this process, for the one event that no object can see alone: that the process forks."""

    def __init__(self) -> None:
        self._locks: weakref.WeakSet[FileLock] = weakref.WeakSet()
        self._is_watching = False

    def add(self, lock: FileLock) -> None:
        if not self._is_watching:
            self._is_watching = True
            os.register_at_fork(after_in_child=self._forget)
        self._locks.add(lock)

    def discard(self, lock: FileLock) -> None:
        self._locks.discard(lock)

    def _forget(self) -> None:
        for lock in list(self._locks):
            lock._forget()
        self._locks.clear()


_held = _Held()
