"""The trees of a user with subordinate ids: the verbs in processes that have joined its user namespace.

Takes a function that gives the namespace, a descriptor; pyrt.runtime makes it. A process is started when none is free,
some stay for a while. Directories are opened here and passed by descriptor, so that what is above them may be
closed to the ids of the namespace. Whatever leaves a verb in its middle, an exception or Ctrl-C, ends its process.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from pyrt.layer.applied import Applied, Limits, Pending
from pyrt.layer.trees import Directory, is_there, opened, parent_of
from pyrt.layer.worker_process import Worker
from pyrt.layer.worker_wire import Line, Severed, pair, unpack_applied

if TYPE_CHECKING:
    from pyrt.layer.changes import Change
    from pyrt.layer.copyup import Found
    from pyrt.layer.write import IdMap

__all__ = ["MappedTrees"]

IDLE_SECONDS = 20.0
_MOST_IDLE = 4


class MappedTrees:
    """Trees whose files belong to the ids of a user namespace (see Trees).

    `user_namespace` gives its descriptor, which stays the giver's. A process without work ends after `idle_seconds`.
    Besides what the verbs raise: PyrtError where a process ended before its work, what `user_namespace` raises,
    Unsupported where no Python can be started.
    """

    def __init__(self, user_namespace: Callable[[], int], *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._user_namespace = user_namespace
        self._idle_seconds = idle_seconds
        self._closed = False
        self._idle: list[Worker] = []
        self._forget()

    def apply(self, chunks: Iterable[bytes], directory: Directory, *, limits: Limits | None = None) -> Applied:
        """Unpack an archive (see Trees)."""
        if isinstance(directory, str) and not is_there(directory):
            self.make_directory(directory)
        arguments = {"limits": limits and astuple(limits)}
        with self._streaming("apply", arguments, [directory]) as (worker, archive):
            with suppress(Severed):  # the answer says why
                for chunk in chunks:
                    archive.send(chunk)
                archive.end()
            return unpack_applied(worker.answer())

    def settle(self, directory: Directory, pending: Pending, lowers: Sequence[Directory]) -> None:
        """Do what `apply` has left undone (see Trees)."""
        with opened(directory, *lowers) as fds:
            self._do("settle", {"pending": astuple(pending)}, fds)

    def write(
        self,
        directory: Directory,
        *,
        uids: IdMap = (),
        gids: IdMap = (),
        latest: int | None = None,
        root: bool = False,
    ) -> Iterator[bytes]:
        """Give the archive of a directory (see Trees); ids are those of the namespace."""
        arguments = {"uids": list(uids), "gids": list(gids), "latest": latest, "root": root}
        with self._streaming("write", arguments, [directory]) as (worker, archive):
            with suppress(Severed):
                yield from archive.chunks()
            worker.answer()

    def write_merged(
        self,
        lowers: Sequence[Directory],
        *,
        uids: IdMap = (),
        gids: IdMap = (),
        latest: int | None = None,
        root: bool = False,
        path: str = "",
    ) -> Iterator[bytes]:
        """Give the archive of the merged tree (see Trees), by a process that ends with it."""
        from pyrt.layer.merged import stream

        with self._guarded():
            self._refuse_closed()
        arguments = {"uids": list(uids), "gids": list(gids), "latest": latest, "root": root, "path": path}
        yield from stream(self._user_namespace(), lowers, arguments)

    def changes(self, upper: Directory, lowers: Sequence[Directory]) -> tuple[Change, ...]:
        """Give what an upper changes (see Trees)."""
        return self._difference("changes", [upper, *lowers])

    def compare(self, before: Directory, after: Directory) -> tuple[Change, ...]:
        """Give the difference of two trees (see Trees)."""
        return self._difference("compare", [before, after])

    def copy_up(
        self, lowers: Sequence[Directory], upper: Directory, path: str, *, work: Directory | None = None
    ) -> None:
        """Copy up (see Trees)."""
        self._alter("copy_up", {"path": path}, lowers, upper, work)

    def find(self, lowers: Sequence[Directory], upper: Directory | None, path: str, *, follow: bool = True) -> Found:
        """Say where a path leads (see Trees)."""
        from pyrt.layer.copyup import Found

        arguments = {"path": path, "has_upper": upper is not None, "follow": follow}
        with opened(*([] if upper is None else [upper]), *lowers) as fds:
            return Found(*self._do("find", arguments, fds))

    def remove_path(
        self, lowers: Sequence[Directory], upper: Directory, path: str, *, work: Directory | None = None
    ) -> None:
        """Remove a path (see Trees)."""
        self._alter("remove_path", {"path": path}, lowers, upper, work)

    def make_path(
        self,
        lowers: Sequence[Directory],
        upper: Directory,
        path: str,
        mode: int = 0o755,
        *,
        work: Directory | None = None,
    ) -> None:
        """Make a directory of the merged tree (see Trees)."""
        self._alter("make_path", {"path": path, "mode": mode}, lowers, upper, work)

    def make_directory(self, path: str, mode: int = 0o755) -> None:
        """Make a directory (see Trees)."""
        with parent_of(path) as (parent, name):
            self._do("make_directory", {"name": name, "mode": mode}, [parent])

    def remove(self, directory: str) -> None:
        """Remove a tree (see Trees)."""
        if is_there(directory):
            with parent_of(directory) as (parent, name):
                self._do("remove", {"name": name}, [parent])

    def close(self) -> None:
        """End the processes; those that are at work end after it. A second call does nothing."""
        with self._guarded():
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()

    def _difference(self, verb: str, directories: Sequence[Directory]) -> tuple[Change, ...]:
        from pyrt.layer.changes import Change

        with opened(*directories) as fds:
            return tuple(Change(kind, path) for kind, path in self._do(verb, {}, fds))

    def _alter(
        self,
        verb: str,
        arguments: dict[str, Any],
        lowers: Sequence[Directory],
        upper: Directory,
        work: Directory | None,
    ) -> None:
        """Carry out a verb that writes into the upper of a merged tree."""
        with opened(upper, *([] if work is None else [work]), *lowers) as fds:
            self._do(verb, {**arguments, "has_work": work is not None}, fds)

    @contextmanager
    def _streaming(
        self, verb: str, arguments: dict[str, Any], directories: Sequence[Directory]
    ) -> Iterator[tuple[Worker, Line]]:
        """Let a process carry out a verb that takes or gives a stream of bytes."""
        ours, theirs = pair()
        with (
            ours,
            theirs,
            opened(*directories) as fds,
            self._asked(verb, arguments, [*fds, theirs.fileno()]) as worker,
            Line(ours, worker.pidfd) as stream,
        ):
            theirs.close()
            yield worker, stream

    def _do(self, verb: str, arguments: dict[str, Any], fds: Sequence[int]) -> Any:
        with self._asked(verb, arguments, fds) as worker:
            return worker.answer()

    @contextmanager
    def _asked(self, verb: str, arguments: dict[str, Any], fds: Sequence[int]) -> Iterator[Worker]:
        """Let a process carry out a verb; it stays for others when its answer was heard, else it is ended."""
        worker = self._ask(verb, arguments, fds)
        try:
            yield worker
        finally:
            with self._guarded():
                is_kept = not worker.is_busy and not self._closed and len(self._idle) < _MOST_IDLE
                if is_kept:
                    self._idle.append(worker)
            if not is_kept:
                worker.end()

    def _ask(self, verb: str, arguments: dict[str, Any], fds: Sequence[int]) -> Worker:
        while True:
            worker = self._take()
            is_new = worker is None
            if worker is None:
                worker = Worker(self._user_namespace(), self._idle_seconds)
            try:
                worker.ask(verb, arguments, fds)
                return worker
            except Severed as e:  # one that was idle has ended meanwhile
                failure = worker.death(str(e)) if is_new else None
                worker.end()
                if failure is not None:
                    raise failure from e
            except BaseException:
                worker.end()
                raise

    def _take(self) -> Worker | None:
        with self._guarded():
            self._refuse_closed()
            return self._idle.pop() if self._idle else None

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ValueError("these trees are closed")

    def _guarded(self) -> threading.Lock:
        if self._pid != os.getpid():  # another thread may have held the lock at the fork
            for worker in self._idle:
                worker.abandon()
            self._forget()
        return self._lock

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._idle = []

    def __enter__(self) -> MappedTrees:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self._idle and self._pid == os.getpid():
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
        self.close()
