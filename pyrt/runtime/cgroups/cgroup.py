"""The cgroup of one container: joined at its start, read, changed, frozen, killed and removed."""

from __future__ import annotations

import errno
import os
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from pyrt._native import cgroup as door
from pyrt.errors import PyrtError, ResourceBusy, SyscallError, Unsupported
from pyrt.oci.spec import Resources
from pyrt.runtime.cgroups.effective import effective
from pyrt.runtime.cgroups.files import read, write
from pyrt.runtime.cgroups.orders import Place
from pyrt.runtime.cgroups.processes import kill_all, kill_once, read_pids
from pyrt.runtime.cgroups.usage import Usage, UsageReader

if TYPE_CHECKING:
    from pyrt.runtime.cgroups.layout import Layout

__all__ = ["Cgroup"]

_LATE_US = 20_000  # how long a dying task may take to leave
_DYING_SECONDS = 10.0  # and one whose namespaces end with it, on a host that has much to do
_FROZEN_SECONDS = 10.0


class Cgroup:
    """The directories of one container, one in each hierarchy that it is in (none where nothing can be had).

    A process joins by clone3(2) with CLONE_INTO_CGROUP and `into_fd`, where that is not -1, and by writing "0" to each
    of `join_fds`. Those are v1's `tasks` files: from a single thread that is some 15 µs, where cgroup.procs waits for
    all of RCU. As a context manager it ends with what is in it. All methods may be called from any thread.
    """

    def __init__(
        self,
        layout: Layout,
        name: str,
        parent: str,
        places: Sequence[Place],
        fds: Sequence[int],
        *,
        is_device_filtered: bool | None,
        more_fds: Sequence[int] = (),
        is_part: bool = False,
    ) -> None:
        self.layout = layout
        self.name = name
        self.parent = parent  # relative to the bases; of the devices' hierarchy another one may be the parent
        self._places = list(places)
        by_version = list(zip([place.hierarchy.version for place in places], fds, strict=False))
        self.into_fd = next((fd for version, fd in by_version if version == 2), -1)
        self.join_fds = tuple(fd for version, fd in by_version if version == 1) + tuple(more_fds)
        self._texts: dict[str, str] = {}
        self._is_device_filtered = is_device_filtered
        self._is_part = is_part  # of a container, below its cgroup
        self._has_parts = False
        self._reader: UsageReader | None = None
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._is_open = True

    @property
    def kind(self) -> str:
        """ "none" where there is no directory, else the layout's."""
        return self.layout.kind if self._places else "none"

    @property
    def places(self) -> tuple[Place, ...]:
        return tuple(self._places)

    @property
    def effective(self) -> Mapping[str, object]:
        """The limits in force as the kernel has rounded them, by the names of docker's options.

        `device_cgroup` says whether the list of devices is enforced (None: an adopted cgroup does not tell).
        """
        return MappingProxyType({**effective(self._texts), "device_cgroup": self._is_device_filtered})

    def note(self, texts: Mapping[str, str], places: Sequence[Place] = ()) -> None:
        """Take over what was read back when limits were set, and the places that an update has added."""
        with self._lock:
            self._texts.update(texts)
            self._places[:0] = places
            if places:
                self._close_reader()

    def close_join(self) -> None:
        """Close what only joining needs: `into_fd` and `join_fds`."""
        with self._lock:
            for fd in (self.into_fd, *self.join_fds):
                if fd >= 0:
                    os.close(fd)
            self.into_fd, self.join_fds = -1, ()

    def usage(self, *, is_over: bool = False) -> Usage:
        """Give what has been used since the start. Some 20 µs, three times that at first.

        `is_over` says that all processes have ended, so that it is the last reading.
        """
        with self._lock:
            return self._read().read(is_over=is_over)

    def oom_kills(self) -> int:
        """Count the processes that the OOM killer has ended; 0 where nobody counts."""
        with self._lock:
            return self._read().oom_kills() or 0

    def update(self, resources: Resources) -> None:
        """Change the limits that are given, all or none. Raises as Layout.create does, and ResourceBusy."""
        from pyrt.runtime.cgroups.update import update

        with self._lock:
            update(self, resources)

    def freeze(self) -> None:
        """Stop all processes, and return when they are stopped. Raises Unsupported, or ResourceBusy after 10 s."""
        self._set_frozen(True)

    def thaw(self) -> None:
        """Let all processes go on."""
        self._set_frozen(False)

    def pids(self) -> list[int]:
        """Give the processes, also of cgroups that the container has made below its own."""
        return read_pids(self._places[-1].directory) if self._places else []

    def kill(self) -> None:
        """End all processes with SIGKILL, whatever they do. Raises ResourceBusy where one stays for 10 s."""
        if not self._places:
            return
        directory = self._places[-1].directory
        with suppress(FileNotFoundError):  # v1, or a kernel before 5.14
            write(f"{directory}/cgroup.kill", "1")
        kill_all(directory, freeze=self._try_set_frozen)

    def kill_soon(self) -> None:
        """Send SIGKILL to all processes and to what they fork meanwhile, and do not wait for their end.

        What is frozen, by a pause of all around it, dies when it is thawed. Raises ResourceBusy as `kill` does.
        """
        if not self._places:
            return
        directory = self._places[-1].directory
        try:
            write(f"{directory}/cgroup.kill", "1")
        except FileNotFoundError:  # v1, or a kernel before 5.14
            if not kill_once(directory):
                self.kill()

    def create_below(self, name: str) -> Cgroup:
        """Make a cgroup within this one, for a part of its processes: its usage is counted, and counts here too.

        All limits of this one hold for it. Raises SyscallError where this one has been removed.
        """
        from pyrt.runtime.cgroups.below import create_below

        self._has_parts = True
        return create_below(self, name)

    def remove_unless_used(self) -> None:
        """Remove the directories where no process is left in them, else leave them to the end of what is around."""
        with self._lock:
            if self.pids():
                return self.close()
            try:
                self.remove()
            except ResourceBusy:  # one has come
                self.close()

    def remove(self) -> None:
        """Remove the directories, which no process may be in any more, and close. Raises ResourceBusy."""
        with self._lock:
            self.close()
            parents = b"".join(os.fsencode(os.path.dirname(place.directory)) + b"\0" for place in self._places)
            if not parents or os.getpid() != self._pid:
                return
            if self._has_parts:
                self._remove_below()
            try:
                door.remove(parents, self.name.encode(), patience_us=_LATE_US)
            except SyscallError as e:
                self._remove_busy(parents, e)
            self._places.clear()

    def close(self) -> None:
        """Close all descriptors; the directories stay for who adopts them."""
        with self._lock:
            self._is_open = False
            self.close_join()
            self._close_reader()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
        self.remove()

    def __del__(self) -> None:
        if getattr(self, "_is_open", False) and self._pid == os.getpid():
            warnings.warn(
                f"cgroup {self.name} was neither removed nor closed", ResourceWarning, source=self, stacklevel=2
            )
            self.close()

    def _read(self) -> UsageReader:
        if self._reader is None:
            self._reader = UsageReader(self._places)
            self._is_open = True
        return self._reader

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _try_set_frozen(self, frozen: bool) -> None:
        with suppress(PyrtError, OSError):  # also where another process sweeps the same cgroup
            self._set_frozen(frozen)

    def _set_frozen(self, frozen: bool) -> None:
        file, value, state_file, state = self._freezer(frozen)
        deadline = time.monotonic() + _FROZEN_SECONDS
        pause = 0.0001
        while True:
            write(file, value)  # again each time: v1 forgets tasks that came while it froze
            if state in read(state_file):
                return
            if time.monotonic() > deadline:
                write(file, self._freezer(False)[1])
                raise ResourceBusy(f"cgroup {self.name} does not freeze: of {self.pids()} one is stuck in the kernel")
            time.sleep(pause)
            pause = min(pause * 2, 0.01)

    def _freezer(self, frozen: bool) -> tuple[str, str, str, str]:
        """Give the file that freezes, what to write to it, and the file and the text that say when it is done."""
        for place in reversed(self._places):
            directory = place.directory
            if place.hierarchy.version == 2:
                number = int(frozen)
                return f"{directory}/cgroup.freeze", str(number), f"{directory}/cgroup.events", f"frozen {number}\n"
            if "freezer" in place.hierarchy.controllers:
                state = "FROZEN" if frozen else "THAWED"
                return f"{directory}/freezer.state", state, f"{directory}/freezer.state", f"{state}\n"
        if self._is_part:
            raise Unsupported("pause of one program", "this host's cgroup v1 freezes a container as a whole")
        from pyrt.runtime.cgroups.update import join

        join(self, "freezer", "pause")
        return self._freezer(frozen)

    def _remove_below(self) -> None:
        """Remove what has been made below the directories, deepest first."""
        for place in self._places:
            for path, directories, _ in os.walk(place.directory, topdown=False):
                for name in directories:
                    with suppress(FileNotFoundError):
                        _remove_one(f"{path}/{name}")

    def _remove_busy(self, parents: bytes, e: SyscallError) -> None:
        """Try again with what the container has made below its own directories."""
        self._remove_below()
        deadline = time.monotonic() + _DYING_SECONDS
        while True:
            try:
                return door.remove(parents, self.name.encode(), patience_us=10 * _LATE_US)
            except SyscallError as again:
                if again.errno != errno.EBUSY:
                    raise
                pids = self.pids()
                if not pids and time.monotonic() < deadline:
                    continue  # one is dying, which takes as long as its namespaces take to end
                shown = ", ".join(map(str, pids))
                raise ResourceBusy(f"cgroup {again.filename} still has processes ({shown}): kill them first") from e


def _remove_one(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError as e:
        if e.errno != errno.EBUSY:
            raise
