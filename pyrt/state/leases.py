"""Names that are in use: a collector leaves alone what they name.

Takes names, any strings; gives those that a living holder has. A lease lives as long as the flock on its owner file, so
it ends with its process, however that ends. Leases are added and counted inside write transactions, of which there is
one at a time: who marks and deletes within one sees each name leased before it, or comes before the lease.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from typing import Self

from pyrt._native.flock import FileLock
from pyrt.errors import PyrtError, SyscallError
from pyrt.state.database import Database, Transaction

__all__ = ["Lease", "Leases"]

_OWNER = re.compile(r"[0-9a-f]{32}")


class Lease:
    """What one holder keeps from being collected, until it is closed or its process ends. Not for forked children."""

    def __init__(self, database: Database, lock: FileLock) -> None:
        self._database = database
        self._lock = lock
        self._owner = os.path.basename(lock.path)
        self._has_names = False

    def add(self, *names: str, tx: Transaction | None = None) -> None:
        """Keep these names too, in the write transaction `tx` where it is given, else in one of its own.

        What a name stands for may have gone before: look after this, or in the same transaction. Raises PyrtError for
        a closed lease, and what Database.write raises.
        """
        if not self._lock.is_held:
            raise PyrtError("this lease is closed, or belongs to the process that forked this one")
        if tx is None:
            with self._database.write() as own:
                return self.add(*names, tx=own)
        tx.require_write()
        self._has_names = True
        tx.execute_many("INSERT OR IGNORE INTO leases VALUES (?, ?)", [(self._owner, name) for name in names])

    def close(self) -> None:
        """End the lease. Where the database cannot be written now, the next collector forgets its names."""
        if not self._lock.is_held:
            return
        try:
            if self._has_names:
                with suppress(PyrtError), self._database.write() as tx:
                    tx.execute("DELETE FROM leases WHERE owner = ?", self._owner)
        finally:
            self._lock.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Leases:
    """All leases of a database; the owner files lie in `directory`, which is made when it is needed."""

    def __init__(self, database: Database, directory: str | os.PathLike[str]) -> None:
        self._database = database
        self._directory = os.path.abspath(directory)

    def hold(self) -> Lease:
        """Begin a lease, without names as yet. Raises SyscallError."""
        try:
            os.makedirs(self._directory, 0o700, exist_ok=True)
        except OSError as e:
            raise SyscallError(e.errno or errno.EIO, "mkdir", self._directory) from e
        return Lease(self._database, FileLock(os.path.join(self._directory, os.urandom(16).hex())))

    @property
    def has_any(self) -> bool:
        """Whether there are leases, be their holders alive or not."""
        return bool(self._files())

    def live(self, tx: Transaction) -> frozenset[str]:
        """Forget the leases of holders that are no more, in a write transaction; give the names of the others."""
        tx.require_write()
        leases = tx.execute("SELECT owner, name FROM leases")
        owners = {owner for owner, _ in leases}
        dead = {owner for owner in owners | self._files() if self._is_dead(owner)}
        tx.execute_many("DELETE FROM leases WHERE owner = ?", [(owner,) for owner in sorted(dead & owners)])
        return frozenset(name for owner, name in leases if owner not in dead)

    def _files(self) -> set[str]:
        try:
            return {name for name in os.listdir(self._directory) if _OWNER.fullmatch(name)}
        except FileNotFoundError:
            return set()

    def _is_dead(self, owner: str) -> bool:
        try:
            lock = FileLock.attempt(os.path.join(self._directory, owner), create=False)
        except SyscallError as e:
            if e.errno != errno.ENOENT:
                raise
            return True
        if lock is None:
            return False
        lock.unlink()
        return True
