"""The volumes of a root: a record for each in the database, a directory for each below `volumes/`.

The record is what makes a volume. It comes and goes within a write transaction, of which there is one at a time;
a directory without a record is what a dead process left, and is taken away by the next that comes across it. A
volume goes in three steps: its record, its name (the directory is renamed to `.removed-…`), its files. Who is
killed between them leaves nothing that could be taken for a volume.

A container holds a lease on each volume it uses, so that nobody removes it; one that is kept holds it by its record.
"""

from __future__ import annotations

import errno
import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pyrt.errors import Conflict, InvalidOption, ResourceBusy, SyscallError, VolumeNotFound
from pyrt.layer import Trees
from pyrt.state import Database, FileLock, Lease, Leases, Records, Transaction
from pyrt.volume.driver import Driver
from pyrt.volume.local import Local
from pyrt.volume.record import VERSION, VolumeRecord, check_labels, check_name, new_name

__all__ = ["User", "VolumeStore"]

DATA = "_data"
_NEW, _REMOVED, _REMOVING = ".new-", ".removed-", ".removing"
_USED, _MOUNTED = "volume", "mounted"  # the first words of the names of leases


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class User:
    """A kept container that uses a volume; `is_running` finds out whether its program may write to it now."""

    volume: str
    container: str
    is_running: Callable[[], bool] = _never


class VolumeStore:
    """The volumes below `directory`. Any number of processes and threads may use it at once.

    `trees` gives the hands that remove files, `users` the kept containers that use volumes, within a transaction.
    """

    def __init__(
        self,
        database: Database,
        directory: str,
        leases: Leases,
        trees: Callable[[], Trees],
        *,
        users: Callable[[Transaction], Iterable[User]] = lambda tx: (),
    ) -> None:
        self._database = database
        self._directory = directory
        self._leases = leases
        self._trees = trees
        self._users = users
        self._records = Records(database, "volume", VERSION, VolumeRecord.to_record, VolumeRecord.from_record)
        self._drivers: Mapping[str, Driver] = {"local": Local()}

    @property
    def trees(self) -> Trees:
        """The hands that work on the files of volumes."""
        return self._trees()

    def data(self, name: str) -> str:
        """Give the directory of a volume's files."""
        return os.path.join(self._directory, name, DATA)

    def place(self, name: str) -> str:
        """Give the directory that holds a volume's files, and what is made of them before it is theirs."""
        return os.path.join(self._directory, name)

    def driver(self, name: str) -> Driver:
        """Give the driver of this name. Raises InvalidOption."""
        if name not in self._drivers:
            known = ", ".join(sorted(self._drivers))
            raise InvalidOption(f"there is no driver {name!r} for volumes, but {known}", argument="driver")
        return self._drivers[name]

    def hold(self) -> Lease:
        """Begin the lease of a container, or of a copy."""
        return self._leases.hold()

    def create(
        self,
        name: str | None = None,
        driver: str = "local",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        *,
        lease: Lease | None = None,
        user: str = "",
        is_passing: bool = False,
    ) -> VolumeRecord:
        """Give the volume of this name, made where there is none; None is a new anonymous one.

        With a `lease` it is also kept from removal, for the container `user`. Raises InvalidOption, Unsupported, and
        Conflict where the name belongs to a volume that was made with another driver or other options.
        """
        driver = driver or "local"
        wanted = VolumeRecord(
            new_name() if name is None else check_name(name),
            driver,
            check_labels(options, "driver_opts"),
            check_labels(labels),
            time.time_ns(),
            is_anonymous=name is None,
            is_passing=is_passing,
        )
        self.driver(driver).check(wanted.options)
        with self._database.write() as tx:
            found = self._found(tx, wanted, is_asked=bool(options) or driver != "local")
            if found is None:
                self._make(tx, wanted)
                found = wanted
            if lease is not None:
                lease.add(f"{_USED}/{found.name}/{user}", tx=tx)
        return found

    def add(self, record: VolumeRecord, new: str) -> None:
        """Make a volume of a directory that `begin` gave. Raises Conflict where the name is taken."""
        with self._database.write() as tx:
            if self._records.has(tx, record.name):
                raise Conflict(f"a volume {record.name} exists already: choose another name, or remove it first")
            self._take_away(record.name)
            os.rename(new, self.place(record.name))
            self._records.put(tx, record.name, record)

    def begin(self, lease: Lease) -> str:
        """Give a new directory for the files of a volume that is to come; it goes when the lease does."""
        new = f"{_NEW}{os.urandom(16).hex()}"
        lease.add(f"{_USED}/{new}/")
        place = self.place(new)
        self._make_directory(place)
        return place

    def use(self, name: str, lease: Lease, user: str) -> VolumeRecord:
        """Keep a volume from removal, for the container `user`. Raises VolumeNotFound."""
        with self._database.write() as tx:
            record = self._get(tx, name)
            lease.add(f"{_USED}/{name}/{user}", tx=tx)
        return record

    def note_mounted(self, name: str, lease: Lease, user: str) -> None:
        """Say that a container's program is about to see the volume's directory: nobody replaces it from now on."""
        lease.add(f"{_MOUNTED}/{name}/{user}")

    def is_mounted(self, name: str) -> bool:
        """Say whether the program of some container sees the volume's directory."""
        with self._database.write() as tx:
            leased = any(lease.startswith(f"{_MOUNTED}/{name}/") for lease in self._leases.live(tx))
            return leased or any(user.is_running() for user in self._users(tx) if user.volume == name)

    def get(self, name: str) -> VolumeRecord:
        """Give the volume of a name. Raises VolumeNotFound."""
        with self._database.read() as tx:
            return self._get(tx, name)

    def all(self) -> list[VolumeRecord]:
        """Give all volumes, by name."""
        with self._database.read() as tx:
            return [record for _, record in self._records.items(tx)]

    def users(self) -> dict[str, set[str]]:
        """Give the containers that use volumes, by the volume's name."""
        with self._database.write() as tx:
            return self._used(tx)

    def remove(self, name: str) -> None:
        """Remove a volume with all that is in it.

        Raises VolumeNotFound, ResourceBusy where a container uses it.
        """
        with self._database.write() as tx:
            self._get(tx, name)
            if users := self._used(tx).get(name):
                raise ResourceBusy(f"volume {name} is in use by {', '.join(sorted(users))}: remove that first")
            self._records.delete(tx, name)
        with self._database.write() as tx:
            own = None if self._records.has(tx, name) else self._take_away(name)  # somebody may have made it anew
        self._empty(own)

    def sweep(self) -> None:
        """Take away what dead processes left: anonymous volumes of their containers, and what they did not finish."""
        if not self._left():
            return
        with self._database.write() as tx:
            used = self._used(tx)
            for name, record in list(self._records.items(tx)):
                if record.is_passing and name not in used:
                    self._records.delete(tx, name)
            for entry in self._entries():
                is_unfinished = entry.startswith(_NEW) and entry not in used
                is_removed = not entry.startswith(".") and not self._records.has(tx, entry)
                if is_unfinished or is_removed:
                    self._take_away(entry)
        self._empty(None)

    def discard(self, new: str) -> None:
        """Remove a directory that `begin` gave."""
        self._empty(self._take_away(os.path.basename(new)))

    def _found(self, tx: Transaction, wanted: VolumeRecord, *, is_asked: bool) -> VolumeRecord | None:
        try:
            found = self._records.get(tx, wanted.name)
        except KeyError:
            return None
        if is_asked and (found.driver, dict(found.options)) != (wanted.driver, dict(wanted.options)):
            reason = f"made with driver {found.driver} and options {dict(found.options)}"
            raise Conflict(f"a volume {wanted.name} exists already, {reason}: remove it first, or choose another name")
        return found

    def _get(self, tx: Transaction, name: str) -> VolumeRecord:
        try:
            return self._records.get(tx, name)
        except KeyError:
            raise VolumeNotFound(f"no such volume: {name}") from None

    def _make(self, tx: Transaction, record: VolumeRecord) -> None:
        self._take_away(record.name)
        self._make_directory(self.place(record.name))
        self._records.put(tx, record.name, record)

    def _make_directory(self, place: str) -> None:
        """Make a volume's directory, to which others have no way: what is set-user-ID in a container is so here too."""
        try:
            for path, mode in ((self._directory, 0o700), (place, 0o701), (os.path.join(place, DATA), 0o755)):
                if not os.path.isdir(path):
                    os.mkdir(path, mode)
                    os.chmod(path, mode)  # whatever the umask
        except OSError as e:
            raise SyscallError(e.errno or errno.EIO, "mkdir", place) from e

    def _used(self, tx: Transaction) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for lease in self._leases.live(tx):
            kind, _, rest = lease.partition("/")
            if kind == _USED:
                name, _, container = rest.partition("/")
                found.setdefault(name, set()).add(container)
        for user in self._users(tx):
            found.setdefault(user.volume, set()).add(user.container)
        return found

    def _take_away(self, entry: str) -> str | None:
        """Give a directory a name that no volume has, in a write transaction; None where it is not there."""
        away = f"{_REMOVED}{os.urandom(16).hex()}"
        try:
            os.rename(self.place(entry), self.place(away))
        except FileNotFoundError:
            return None
        except OSError as e:
            raise SyscallError(e.errno or errno.EIO, "rename", self.place(entry)) from e
        return away

    def _empty(self, own: str | None) -> None:
        """Remove what has been taken away, one process at a time; what is not `own` is not waited for.

        Raises SyscallError for what is `own`, and warns of all else that cannot be removed.
        """
        if not os.path.isdir(self._directory):
            return
        path = self.place(_REMOVING)
        lock = FileLock(path) if own else FileLock.attempt(path)
        if lock is None:
            return
        with lock:
            for entry in [each for each in self._entries() if each.startswith(_REMOVED)]:
                try:
                    self.trees.remove(self.place(entry))
                except SyscallError as error:
                    if entry == own:
                        raise
                    warnings.warn(f"a removed volume cannot be cleared: {error}", RuntimeWarning, stacklevel=4)

    def _left(self) -> bool:
        """Say whether there may be something to sweep, without opening the database."""
        return any(entry != _REMOVING for entry in self._entries())

    def _entries(self) -> list[str]:
        try:
            return os.listdir(self._directory)
        except FileNotFoundError:
            return []
