"""The open connections of one database, and what becomes of them when the process forks.

SQLite keeps a table of the files it has locked, for the whole process. A forked child inherits that table and none of
the locks (fcntl(2)), and would write unlocked wherever the table says that the lock is there. So nothing may be open at
the moment of a fork: before it, transactions of other threads are waited for and the idle connections closed. Where
that is not possible, the child refuses the file.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyrt.errors import PyrtError, ResourceBusy
from pyrt.state.failure import translated

__all__ = ["Pool"]

FORK_WAIT_SECONDS = 1.0  # transactions take milliseconds; a thread may also be in one and wait for the one that forks


class Pool:
    """The connections to the file at `path`, each used by one transaction at a time."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._is_closed = False
        self._begin()
        _forks.watch(self)

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._writer = 0
        self._idle: list[sqlite3.Connection] = []
        self._lent: set[sqlite3.Connection] = set()
        self._users: Counter[int] = Counter()  # by thread, also those that are still connecting
        self._is_forking = False

    @property
    def is_open(self) -> bool:
        """Whether there are connections."""
        return bool(self._idle or self._lent)

    @contextmanager
    def borrow(self, connect: Callable[[], sqlite3.Connection]) -> Iterator[sqlite3.Connection]:
        """Lend an idle connection, or a new one from `connect`; what is not committed at the end is rolled back."""
        thread, pid = threading.get_ident(), os.getpid()
        with self._changed:
            while self._is_forking and thread not in self._users:
                self._changed.wait()
            self._users[thread] += 1
            connection = self._idle.pop() if self._idle else None
        try:
            if connection is None:
                _forks.check(self._path)
                connection = connect()
            self._lent.add(connection)
            yield connection
        finally:
            if pid == os.getpid():
                self._give_back(connection, thread)

    @contextmanager
    def writing(self, deadline: float) -> Iterator[None]:
        """Let one thread of this process write at a time, so that they queue up instead of polling."""
        thread, lock = threading.get_ident(), self._writing
        if self._writer == thread:
            raise PyrtError(f"this thread has a write transaction on {self._path} already")
        if not lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise ResourceBusy(f"{self._path} is still being written by another thread of this process")
        try:
            self._writer = thread
            yield
        finally:
            self._writer = 0
            lock.release()

    def close(self) -> None:
        """Close what is idle now, and what is lent when it comes back."""
        self._is_closed = True
        with self._changed:
            while self._idle:
                self._idle.pop().close()

    def suspend(self, deadline: float) -> None:
        """Wait until only the calling thread has connections, and close the idle ones."""
        with self._changed:
            self._is_forking = True
            others = self._users.keys() - {threading.get_ident()}
            while others and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
                others = self._users.keys() - {threading.get_ident()}
            while self._idle:
                self._idle.pop().close()

    def resume(self) -> None:
        """Go on in the parent."""
        with self._changed:
            self._is_forking = False
            self._changed.notify_all()

    def forget(self) -> bool:
        """Start anew in the child; give whether connections of the parent were open."""
        inherited = [*self._idle, *self._lent]
        was_used = bool(inherited or self._users)
        for connection in inherited:
            _never_close(connection)
        self._begin()
        return was_used

    def _give_back(self, connection: sqlite3.Connection | None, thread: int) -> None:
        try:
            if connection is not None and connection.in_transaction:
                with translated(self._path):
                    connection.rollback()
        finally:
            with self._changed:
                self._users[thread] -= 1
                if not self._users[thread]:
                    del self._users[thread]
                if connection is not None:
                    self._lent.discard(connection)
                    is_kept = not (self._is_closed or self._is_forking or connection.in_transaction)
                    self._idle.append(connection) if is_kept else connection.close()
                self._changed.notify_all()


class _Forks:
    """All pools of this process, and the files that it must not open because they were open when it was forked."""

    def __init__(self) -> None:
        self._pools: weakref.WeakSet[Pool] = weakref.WeakSet()
        self._refused: set[tuple[int, int]] = set()
        self._is_watching = False

    def watch(self, pool: Pool) -> None:
        if not self._is_watching:
            self._is_watching = True
            os.register_at_fork(before=self._before, after_in_parent=self._in_parent, after_in_child=self._in_child)
        self._pools.add(pool)

    def check(self, path: str) -> None:
        if self._refused and _identity(path) in self._refused:
            raise PyrtError(
                f"{path} was in a transaction when this process was forked, and SQLite cannot be used on it here: fork"
                " outside of transactions, or start a program instead"
            )

    def _before(self) -> None:
        deadline = time.monotonic() + FORK_WAIT_SECONDS
        for pool in list(self._pools):
            pool.suspend(deadline)

    def _in_parent(self) -> None:
        for pool in list(self._pools):
            pool.resume()

    def _in_child(self) -> None:
        for pool in list(self._pools):
            if pool.forget() and (identity := _identity(pool._path)):
                self._refused.add(identity)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _never_close(connection: sqlite3.Connection) -> None:
    """Keep an inherited connection for ever: closing it could write the file, without its locks."""
    import ctypes  # in the rare child alone

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


_forks = _Forks()
