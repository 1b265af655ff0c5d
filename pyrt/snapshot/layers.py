"""Committed snapshots: the layers of images, each once, by the ChainID of what it makes with all below it.

Takes directories that were filled in a stage, gives Layers whose directories are never written again: `<n>/fs` below
the directory of all, in overlay form, with short names because an overlay has many. A layer comes to be by a rename and
a record in one transaction. Nothing is taken from under who holds it: a hold is a lock on the layer's file `lock`, and
ends with its process.

What is being filled, and what is being removed, is in `staging`, each under a name of its own beside a lock file: who
finds an entry whose lock is free removes it, for its owner is dead.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from pyrt.errors import DigestMismatch, InvalidArgument, NotFound, PyrtError, SyscallError
from pyrt.layer import remove_tree
from pyrt.oci.digest import Digest
from pyrt.oci.image import chain_ids
from pyrt.state import Database, FileLock, Records, Transaction

__all__ = ["Hold", "Layer", "Layers", "Stage"]

VERSION = 1
Remover = Callable[[str], None]
_LOCK = ".lock"
_NUMBER = "number"  # of the layer that a stage was just about to become


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: `directory` is what its archive says, in overlay form; below it are those of `parent`."""

    chain_id: Digest
    diff_id: Digest
    parent: Digest | None
    directory: str
    size_bytes: int


class Layers:
    """The layers below `directory`. Any number of threads and processes may use it at once.

    `remover` removes a tree with all in it; the default is this process's own way, which cannot remove what subordinate
    ids own.
    """

    def __init__(
        self, directory: str | os.PathLike[str], database: Database, *, remover: Remover = remove_tree
    ) -> None:
        self._directory = os.path.abspath(directory)
        self._database = database
        self._remover = remover
        self._records: Records[_Entry] = Records(database, "layer", VERSION, _Entry.to_record, _Entry.from_record)
        self._next: Records[int] = Records(database, "layers", VERSION, int, int)

    def find(self, chain_id: Digest) -> Layer:
        """Give a layer. Raises NotFound."""
        return self.chain(chain_id, depth=1)[0]

    def chain(self, chain_id: Digest, *, depth: int | None = None) -> tuple[Layer, ...]:
        """Give a layer and all below it, or the topmost `depth` of them, the topmost first. Raises NotFound."""
        found: list[Layer] = []
        wanted: Digest | None = chain_id
        with self._database.read() as tx:
            while wanted is not None and len(found) != depth:
                try:
                    entry = self._records.get(tx, str(wanted))
                except KeyError:
                    raise _absent(wanted) from None
                found.append(self._layer(wanted, entry))
                wanted = entry.parent
        for layer in found:
            if not os.path.isdir(layer.directory):
                raise _absent(layer.chain_id)
        return tuple(found)

    def stage(self, chain_id: Digest | None, *, cancelled: Callable[[], bool] | None = None) -> Stage:
        """Begin a layer; None where its ChainID is known at the end only.

        Waits while another thread or process is at work on the same one; `cancelled`, asked meanwhile, ends the wait
        with ResourceBusy. Raises SyscallError.
        """
        return Stage(self, chain_id, cancelled)

    def hold(self, chain_id: Digest) -> Hold:
        """Keep a layer, and so all below it, from being collected. Raises NotFound."""
        layer = self.find(chain_id)
        try:
            lock = FileLock(f"{os.path.dirname(layer.directory)}/lock", shared=True)
        except SyscallError as error:
            if error.errno != errno.ENOENT:
                raise
            raise _absent(chain_id) from None
        return Hold(lock)

    def collect(self, live: Set[Digest]) -> int:
        """Remove all layers but `live` ones, those that are held, and those below them; give the bytes freed."""
        with self._database.write() as tx:
            freed = self.condemn(tx, live)
        self.clean()
        return freed

    def condemn(self, tx: Transaction, live: Set[Digest]) -> int:
        """Do what `collect` does within a write transaction, so that `live` is what it says; `clean` then frees."""
        entries = {Digest.parse(key): entry for key, entry in self._records.items(tx)}
        kept: set[Digest] = set()
        for chain_id in live & entries.keys():
            _keep(kept, entries, chain_id)
        freed = 0
        for chain_id in _tops_first(entries):
            if chain_id in kept:
                continue
            if self._discard(entries[chain_id].number):
                self._records.delete(tx, str(chain_id))
                freed += entries[chain_id].size_bytes
            else:
                _keep(kept, entries, chain_id)
        numbers = {entry.number for entry in entries.values()}
        for number in self._numbers() - numbers:  # of a database that was lost
            self._discard(number)
        return freed

    def clean(self) -> None:
        """Remove what was condemned, and what stages of dead processes have left; cheap where there is nothing."""
        try:
            names = {name.removesuffix(_LOCK) for name in os.listdir(f"{self._directory}/staging")}
        except FileNotFoundError:
            return
        for name in names:
            place = f"{self._directory}/staging/{name}"
            lock = FileLock.attempt(place + _LOCK)
            if lock is not None:
                try:
                    self._recover(place)
                    self._remove(place)
                finally:
                    lock.unlink()

    def _numbers(self) -> set[int]:
        try:
            return {int(name) for name in os.listdir(self._directory) if name.isdigit()}
        except FileNotFoundError:
            return set()

    def _recover(self, place: str) -> None:
        """Take what a stage had moved to its number when its process died, unless its record came to be."""
        try:
            with open(f"{place}/{_NUMBER}") as file:
                number = int(file.read() or 0)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return
        with self._database.write() as tx:
            if not any(entry.number == number for _, entry in self._records.items(tx)):
                with suppress(FileNotFoundError):
                    os.rename(f"{self._directory}/{number}", f"{place}/moved")

    def _remove(self, place: str) -> None:
        """Remove an entry of `staging`; mostly there is little of it, or nothing."""
        with suppress(OSError):
            os.unlink(f"{place}/{_NUMBER}")
        try:
            os.rmdir(place)
        except FileNotFoundError:
            return
        except OSError:
            self._remover(place)

    def _discard(self, number: int) -> bool:
        """Move a layer to `staging`, to be removed; False where it is held."""
        place = f"{self._directory}/{number}"
        try:
            lock = FileLock.attempt(f"{place}/lock")
        except SyscallError as error:
            if error.errno != errno.ENOENT:
                raise
            return True  # somebody has removed the directory: what is left is a record of nothing
        if lock is None:
            return False
        try:
            os.makedirs(f"{self._directory}/staging", 0o700, exist_ok=True)
            os.rename(place, f"{self._directory}/staging/{number}-{os.urandom(4).hex()}")
        except OSError as error:
            raise SyscallError(error.errno or errno.EIO, "rename", place) from error
        finally:
            lock.close()
        return True

    def _layer(self, chain_id: Digest, entry: _Entry) -> Layer:
        directory = f"{self._directory}/{entry.number}/fs"
        return Layer(chain_id, entry.diff_id, entry.parent, directory, entry.size_bytes)

    def _commit(self, place: str, chain_id: Digest, diff_id: Digest, parent: Digest | None, size_bytes: int) -> Layer:
        with self._database.write() as tx:
            if parent is not None and not self._records.has(tx, str(parent)):
                raise NotFound(f"layer {parent.short}, on which {chain_id.short} is to be, is not there")
            with suppress(KeyError):  # where the stage did not know its name, another may have been faster
                entry = self._records.get(tx, str(chain_id))
                if os.path.isdir(self._layer(chain_id, entry).directory):
                    return self._layer(chain_id, entry)
            number = self._move(tx, place)
            entry = _Entry(number, diff_id, parent, size_bytes)
            self._records.put(tx, str(chain_id), entry)
            self._next.put(tx, "next", number + 1)
        return self._layer(chain_id, entry)

    def _move(self, tx: Transaction, place: str) -> int:
        """Rename a layer to a number that none has or had, after a note of it for who cleans up after our death."""
        try:
            number = self._next.get(tx, "next")
        except KeyError:
            number = 1
        while True:
            try:
                with open(f"{place}/{_NUMBER}", "w") as file:
                    file.write(str(number))
                os.rename(f"{place}/layer", f"{self._directory}/{number}")
                return number
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):  # left by a death that nobody has cleaned up
                    raise SyscallError(error.errno or errno.EIO, "rename", place) from error
                number += 1


class Stage:
    """A layer in the making, as a context manager: fill `directory`, then `commit`; without that nothing is left.

    Where `is_complete` says so, another has made the layer meanwhile, and there is nothing to do.
    """

    def __init__(self, layers: Layers, chain_id: Digest | None, cancelled: Callable[[], bool] | None) -> None:
        self._layers = layers
        self._chain_id = chain_id
        self._cancelled = cancelled
        self._lock: FileLock | None = None
        self._place = ""
        self.is_complete = False

    @property
    def directory(self) -> str:
        """The directory to fill."""
        return f"{self._place}/layer/fs"

    def commit(
        self, *, diff_id: Digest, parent: Digest | None, size_bytes: int, chain_id: Digest | None = None
    ) -> Layer:
        """Make what is in `directory` the layer on top of `parent` (a ChainID), and give it.

        Raises DigestMismatch where that is not the ChainID which was to be, NotFound without the parent, SyscallError.
        """
        if self._lock is None or not self._lock.is_held or self.is_complete:
            raise PyrtError("this stage has ended: enter another")
        if size_bytes < 0:
            raise InvalidArgument(f"a layer of {size_bytes} bytes cannot be", argument="size_bytes")
        made = chain_ids((diff_id,) if parent is None else (parent, diff_id))[-1]
        for wanted in (self._chain_id, chain_id):
            if wanted not in (None, made):
                raise DigestMismatch(f"layer {diff_id.short} on {parent and parent.short} is {made}, and not {wanted}")
        layer = self._layers._commit(self._place, made, diff_id, parent, size_bytes)
        self.is_complete = True
        return layer

    def __enter__(self) -> Self:
        name = self._chain_id.hex if self._chain_id else os.urandom(16).hex()
        staging = f"{self._layers._directory}/staging"
        self._place = f"{staging}/{name}"
        try:
            os.makedirs(self._layers._directory, 0o700, exist_ok=True)
            os.makedirs(staging, 0o700, exist_ok=True)
            self._lock = FileLock(self._place + _LOCK, cancelled=self._cancelled)
            self._begin()
        except OSError as error:
            self._end()
            raise (
                error
                if isinstance(error, SyscallError)
                else SyscallError(error.errno or errno.EIO, "mkdir", self._place)
            ) from error
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

    def _begin(self) -> None:
        self._layers._recover(self._place)
        self._layers._remove(self._place)  # what a dead process has left
        if self._chain_id is not None:
            with suppress(NotFound):
                self._layers.find(self._chain_id)
                self.is_complete = True
                return
        os.mkdir(self._place, 0o700)
        os.mkdir(f"{self._place}/layer", 0o700)
        os.mkdir(self.directory, 0o755)

    def _end(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None and lock.is_held:
            try:
                self._layers._remove(self._place)
            finally:
                lock.unlink()


class Hold:
    """Keeps a layer and all below it until it is closed, or its process ends."""

    def __init__(self, lock: FileLock) -> None:
        self._lock = lock

    def close(self) -> None:
        """Let the layers go. A second call does nothing."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is on record of a layer; its number is its directory's name."""

    number: int
    diff_id: Digest
    parent: Digest | None
    size_bytes: int

    def to_record(self) -> list[Any]:
        return [self.number, str(self.diff_id), None if self.parent is None else str(self.parent), self.size_bytes]

    @classmethod
    def from_record(cls, record: list[Any]) -> Self:
        number, diff_id, parent, size_bytes = record
        return cls(number, Digest.parse(diff_id), None if parent is None else Digest.parse(parent), size_bytes)


def _keep(kept: set[Digest], entries: dict[Digest, _Entry], chain_id: Digest | None) -> None:
    """Add a layer and all below it."""
    while chain_id in entries and chain_id not in kept:
        kept.add(chain_id)
        chain_id = entries[chain_id].parent


def _tops_first(entries: dict[Digest, _Entry]) -> Iterable[Digest]:
    """Give all layers, each before the one below it: a layer's record is younger than its parent's."""
    return sorted(entries, key=lambda chain_id: entries[chain_id].number, reverse=True)


def _absent(chain_id: Digest) -> NotFound:
    return NotFound(f"layer {chain_id}: there is no such layer in this store")
