"""One SQLite database that any number of processes and threads use at once.

Takes a path, gives transactions. The file comes to be with the first of them. A transaction
borrows a connection that nobody else uses meanwhile; SQLite's write-ahead log gives each reader the state as it was
when it began, while one writer at a time goes on.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar
from urllib.parse import quote

from pyrt.errors import PyrtError, ResourceBusy, SyscallError, Unsupported
from pyrt.state.failure import is_busy, translated
from pyrt.state.forks import Pool
from pyrt.state.schema import STEPS

__all__ = ["WAIT_SECONDS", "Database", "Transaction"]

WAIT_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.0005
_LONGEST_PAUSE_SECONDS = 0.02

T = TypeVar("T")
Value = str | int | float | bytes | None


class Transaction:
    """What a transaction can do, within its `with` block and on its thread alone."""

    def __init__(self, connection: sqlite3.Connection, path: str, *, is_writable: bool) -> None:
        self._connection: sqlite3.Connection | None = connection
        self._path = path
        self._pid = os.getpid()
        self.is_writable = is_writable

    def execute(self, statement: str, *values: Value) -> list[tuple[Any, ...]]:
        """Run one statement of SQL, its `?` filled with the values; give all rows. Raises as Database.write does."""
        with translated(self._path):
            return self._borrowed().execute(statement, values).fetchall()

    def execute_many(self, statement: str, rows: Iterable[tuple[Value, ...]]) -> None:
        """Run one statement for each tuple of values."""
        with translated(self._path):
            self._borrowed().executemany(statement, rows)

    def require_write(self) -> None:
        """Raise PyrtError in a transaction that only reads."""
        if not self.is_writable:
            raise PyrtError(f"this transaction only reads {self._path}: begin it with write()")

    def _borrowed(self) -> sqlite3.Connection:
        if self._connection is None or self._pid != os.getpid():
            raise PyrtError(f"a transaction on {self._path} has ended, or belongs to the process that forked this one")
        return self._connection

    def _end(self) -> None:
        self._connection = None


class Database:
    """The database at `path`, made at the first transaction in a directory that exists.

    `wait_seconds` is how long a transaction waits for those of others before it raises ResourceBusy; Ctrl-C ends the
    wait. What a write has reported as done survives the death of any process; a failure of power may take the last
    ones back, never a part of one. Close it, or use it as a context manager. In a forked child it works on, with
    connections of its own.
    """

    def __init__(self, path: str | os.PathLike[str], *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._path = os.path.abspath(path)
        self._wait_seconds = wait_seconds
        self._pool = Pool(self._path)
        self._is_closed = False

    @property
    def path(self) -> str:
        """Where the database is."""
        return self._path

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Look at one state of the database: what others commit meanwhile is not seen, and they are not held up.

        Raises IntegrityError (damaged), Unsupported (written by a newer pyrt), ResourceBusy and SyscallError.
        """
        with self._transaction("BEGIN", time.monotonic() + self._wait_seconds) as tx:
            yield tx

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Change the database, alone: all of it when the block ends, nothing where it raises.

        Waits for other writers, up to `wait_seconds`; then raises ResourceBusy. A thread that writes must not begin
        to write again: PyrtError. Raises IntegrityError (damaged), Unsupported (written by a newer pyrt) and
        SyscallError (ENOSPC: the disk is full).
        """
        deadline = time.monotonic() + self._wait_seconds
        with self._pool.writing(deadline), self._transaction("BEGIN IMMEDIATE", deadline) as tx:
            yield tx

    def close(self) -> None:
        """Close all connections; those of transactions under way close with them. A second call does nothing."""
        self._is_closed = True
        self._pool.close()

    @contextmanager
    def _transaction(self, begin: str, deadline: float) -> Iterator[Transaction]:
        if self._is_closed:
            raise PyrtError(f"the database {self._path} is closed")
        owner = os.getpid()
        with self._pool.borrow(lambda: self._connect(deadline)) as connection:
            with translated(self._path):
                self._begin(connection, begin, deadline)
            tx = Transaction(connection, self._path, is_writable=begin != "BEGIN")
            try:
                yield tx
                if owner == os.getpid():
                    with translated(self._path):
                        connection.execute("COMMIT")
            finally:
                tx._end()

    def _begin(self, connection: sqlite3.Connection, begin: str, deadline: float) -> None:
        """Begin, and read the version: this also fixes the state that a reader sees."""

        def begin_at_version() -> int:
            connection.execute(begin)
            try:
                return _version(connection)
            except sqlite3.Error:
                connection.rollback()
                raise

        if (found := self._patiently(begin_at_version, deadline)) > len(STEPS):
            connection.rollback()
            reason = f"a newer pyrt wrote it (schema {found}, this one knows {len(STEPS)})"
            raise Unsupported(f"the database {self._path}", f"{reason}: upgrade pyrt, or choose another root")

    def _connect(self, deadline: float) -> sqlite3.Connection:
        self._make_file()
        with translated(self._path):
            connection = sqlite3.connect(
                f"file:{quote(self._path)}?mode=rw", uri=True, timeout=0, isolation_level=None, check_same_thread=False
            )
            try:
                # NORMAL: no flush for each transaction, only for each checkpoint, and never a torn file.
                self._patiently(lambda: connection.execute("PRAGMA synchronous = NORMAL"), deadline)
                if self._patiently(lambda: _version(connection), deadline) < len(STEPS):
                    self._migrate(connection, deadline)
                return connection
            except BaseException:
                connection.close()
                raise

    def _make_file(self) -> None:
        """Make an empty file for its owner alone, where there is none; SQLite's own would be open to all."""
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        except FileExistsError:
            return
        except OSError as e:
            raise SyscallError(e.errno or errno.EIO, "open", self._path) from e

    def _migrate(self, connection: sqlite3.Connection, deadline: float) -> None:
        mode = self._patiently(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone()[0], deadline)
        if mode != "wal":
            reason = "the file system has no memory that processes share, which a write-ahead log needs"
            raise Unsupported(f"the database {self._path}", f"{reason}: choose a root on a local disk")
        self._patiently(lambda: connection.execute("BEGIN IMMEDIATE"), deadline)
        for step in STEPS[_version(connection) :]:  # another process may have been faster
            for statement in step:
                connection.execute(statement)
        if _version(connection) < len(STEPS):
            connection.execute(f"PRAGMA user_version = {len(STEPS)}")
        connection.execute("COMMIT")

    def _patiently(self, step: Callable[[], T], deadline: float) -> T:
        """Repeat a step while others are in its way, until the deadline; SQLite's own wait would not hear Ctrl-C."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return step()
            except sqlite3.Error as e:
                if not is_busy(e):
                    raise
                if (left := deadline - time.monotonic()) <= 0:
                    message = f"{self._path} is still in use by another process after {self._wait_seconds:g} seconds"
                    raise ResourceBusy(message) from e
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_is_closed", True) or not self._pool.is_open:
            return
        warnings.warn(f"the database {self._path} was not closed", ResourceWarning, source=self, stacklevel=2)
        self.close()


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
