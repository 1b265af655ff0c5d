"""Containers that are kept: their records, how they are, and who has them in hand.

Takes the state's database and a directory; gives KeptContainers. A record comes to be before the container starts;
while its program runs, a lock is held: by its monitor, or by the process that runs it and with which it ends.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

from pyrt.container.condition import Condition, observe
from pyrt.container.record import VERSION, KeptContainer, from_version_1
from pyrt.errors import ContainerNotFound, InvalidOption, NameInUse, SyscallError, WrongState
from pyrt.runtime.protocol import MonitorState
from pyrt.state import Database, FileLock, Records, Transaction

__all__ = ["KeptStore"]

_LEAVING_SECONDS = 5.0  # a monitor that has noted the end still removes cgroups, and others look at the lock
_LIVE = ("starting", "running", "restarting")
_ID = re.compile(r"[0-9a-f]{64}")


class KeptStore:
    """The kept containers of a root; their locks lie in `directory`. Any number of processes may use it at once."""

    def __init__(self, database: Database, directory: str) -> None:
        self._database = database
        self._directory = directory
        upgrades = {1: from_version_1}
        to_record, from_record = KeptContainer.to_record, KeptContainer.from_record
        self._records = Records(database, "container", VERSION, to_record, from_record, upgrades=upgrades)
        self._names = Records(database, "container name", 1, str, str)

    def add(self, container: KeptContainer) -> FileLock:
        """Record a new container; give its lock, to be held while it runs. Raises NameInUse."""
        lock = self.reserve(container.id)
        try:
            self.record(container)
        except BaseException:
            lock.unlink()
            raise
        return lock

    def reserve(self, id: str) -> FileLock:
        """Give the lock of a container to be: while it is held, `clear` leaves alone what has no record yet."""
        os.makedirs(self._directory, 0o700, exist_ok=True)  # nobody else reaches set-user-ID files of a container
        return FileLock(self._lock(id))

    def record(self, container: KeptContainer) -> None:
        """Record a new container. Raises NameInUse."""
        with self._database.write() as tx:
            self._claim(tx, container.name, container.id)
            self._records.put(tx, container.id, container)

    def clear(self, remove: Callable[[str], None]) -> None:
        """Remove what a crash has left: directories and locks without a record, which nobody holds."""
        try:
            there = {name.removesuffix(".lock") for name in os.listdir(self._directory)}
        except FileNotFoundError:
            return
        with self._database.read() as tx:
            strays = there - self._records.keys(tx)
        for id in filter(_ID.fullmatch, strays):
            if (lock := FileLock.attempt(self._lock(id))) is None:
                continue  # somebody makes or removes it at this moment
            with lock:
                with self._database.read() as tx:
                    if self._records.has(tx, id):
                        continue
                with suppress(OSError):  # what cannot be removed now is there for the next
                    remove(id)
                    lock.unlink()

    def ended(self, id: str, exit_code: int | None) -> None:
        """Note how a container ended that this process ran."""
        self.change(id, lambda container: replace(container, exit_code=exit_code))

    def change(self, id: str, how: Callable[[KeptContainer], KeptContainer]) -> KeptContainer:
        """Change the record of a container, and give it. Raises ContainerNotFound, NameInUse."""
        with self._database.write() as tx:
            try:
                before = self._records.get(tx, id)
            except KeyError:
                raise ContainerNotFound(f"container {id[:12]} has been removed meanwhile") from None
            after = how(before)
            if after.name != before.name:
                self._claim(tx, after.name, id)
                self._names.delete(tx, before.name)
            self._records.put(tx, id, after)
        return after

    def _claim(self, tx: Transaction, name: str, id: str) -> None:
        if self._names.has(tx, name):
            owner = self._names.get(tx, name)
            raise NameInUse(f"the name {name} belongs to container {owner[:12]}: remove or rename that first")
        self._names.put(tx, name, id)

    def find(self, text: str) -> KeptContainer:
        """Give the container of a name, an id or the beginning of one. Raises ContainerNotFound, InvalidOption."""
        with self._database.read() as tx:
            if self._names.has(tx, text):
                return self._records.get(tx, self._names.get(tx, text))
            found = [container for _, container in self._records.items(tx, text)] if text else []
        if not found:
            raise ContainerNotFound(f"{text}: there is no container of this name or id")
        if len(found) > 1:
            raise InvalidOption(f"{text}: {len(found)} containers have an id that begins so", argument="container")
        return found[0]

    def all(self) -> list[KeptContainer]:
        """Give all containers, the newest first."""
        with self._database.read() as tx:
            return sorted(self.items(tx), key=lambda each: -each.created_ns)

    def items(self, tx: Transaction) -> Iterator[KeptContainer]:
        """Give all containers within a transaction."""
        for _, container in self._records.items(tx):
            yield container

    def directory(self, container: KeptContainer) -> str:
        """Give the directory of what a container has written, its log, and what its monitor keeps."""
        return f"{self._directory}/{container.id}"

    def condition(self, container: KeptContainer) -> Condition:
        """Say how a container is at this moment."""
        return observe(container, self.directory(container), lambda: self._is_locked(container))

    def is_running(self, container: KeptContainer) -> bool:
        """Say whether its program runs, be it paused or about to be started again."""
        return self.condition(container).is_running

    def borrow(self, container: KeptContainer) -> FileLock:
        """Keep a container that does not run from being started, changed or removed by others.

        Raises WrongState where it runs, ContainerNotFound where it has been removed meanwhile.
        """
        deadline = time.monotonic() + _LEAVING_SECONDS
        while (lock := FileLock.attempt(self._lock(container.id))) is None:
            state = MonitorState.read(self.directory(container))
            is_live = container.has_run or (state is not None and state.status in _LIVE)
            if (is_live and self._is_locked(container)) or time.monotonic() > deadline:
                message = f"container {container.name} runs, or is being changed by another process: stop it first"
                raise WrongState(message, have="running", want="exited")
            time.sleep(0.001)
        try:
            self.find(container.id)
        except BaseException:
            lock.unlink()
            raise
        return lock

    def await_release(self, container: KeptContainer, timeout: float | None = None) -> bool:
        """Wait until nobody runs a container; False after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._is_locked(container):
            if deadline is not None and time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return True

    def _is_locked(self, container: KeptContainer) -> bool:
        try:  # shared, for two that look must not take each other for an owner
            lock = FileLock.attempt(self._lock(container.id), shared=True, create=False)
        except SyscallError as error:
            if error.errno != errno.ENOENT:
                raise
            return False
        if lock is None:
            return True
        lock.close()
        return False

    def forget(self, container: KeptContainer) -> None:
        """Remove the record of a container."""
        with self._database.write() as tx:
            for name in (container.name, *(name for name, id in self._names.items(tx) if id == container.id)):
                self._names.delete(tx, name)
            self._records.delete(tx, container.id)

    def _lock(self, id: str) -> str:
        return f"{self._directory}/{id}.lock"
