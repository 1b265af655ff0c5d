"""The files below one root directory with the ids and the rights of a user namespace.

Two sides: JoinedRoot asks a worker process, `serve` is what that does. `overlaid` lets it mount a tree before.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import Any

from pyrt.layer.root import LocalRoot, Root
from pyrt.layer.trees import Directory, opened
from pyrt.layer.worker_process import Worker
from pyrt.layer.worker_wire import Severed

__all__ = ["JoinedRoot", "joined", "overlaid", "serve"]

# What a stat_result has besides what it shows as a sequence.
_MORE = tuple(f"st_{name}{unit}" for name in ("atime", "mtime", "ctime") for unit in ("", "_ns"))
_MORE += ("st_blksize", "st_blocks", "st_rdev")
_IDLE_SECONDS = 1e6  # it is ended by who has it, and ends with that


def joined(user_namespace: int, fd: int) -> Root:
    """Give the files below the directory `fd`, which the result owns, as root of a user namespace has them.

    Raises what starting the process does: Unsupported, PyrtError, SyscallError.
    """
    try:
        return JoinedRoot(user_namespace, Worker(user_namespace, _IDLE_SECONDS), fd)
    except BaseException:
        os.close(fd)
        raise


def overlaid(
    user_namespace: int | None,
    upper: str,
    work: str,
    lowers: Sequence[Directory],
    *,
    on_close: Callable[[], None] = lambda: None,
) -> Root:
    """Give the files of an overlay, which nobody else sees, and which ends with the result: what is written stays.

    `upper` and `work` are those of no other overlay until `on_close` is called. In a user namespace its ids count.
    Raises besides what `joined` raises: Unsupported where the kernel gives no overlay of them.
    """
    with opened(upper, work, *lowers) as fds, ExitStack() as undo:
        places = [os.readlink(f"/proc/self/fd/{fd}") for fd in fds]
        above = os.path.commonpath(places)
        paths = [os.path.relpath(place, above) for place in places]
        worker = Worker(user_namespace, _IDLE_SECONDS)
        undo.callback(worker.end)
        mounted: list[int] = []
        with opened(above) as [top]:
            try:
                worker.ask("overlay", {"paths": paths}, [top, *fds])
            except Severed as e:
                raise worker.death(str(e)) from e
            worker.answer(mounted)
        if user_namespace is None:
            return LocalRoot(mounted[0], on_close=on_close)  # what is open outlives the process and its mounts
        undo.pop_all()
        return JoinedRoot(user_namespace, worker, mounted[0], on_close=on_close)


class JoinedRoot:
    """The files below a directory, reached by `worker`, a process of the user namespace (see Root).

    The worker and the descriptor of the directory become its own; of the namespace it keeps a copy.
    """

    def __init__(self, namespace: int, worker: Worker, fd: int, *, on_close: Callable[[], None] = lambda: None) -> None:
        self._namespace = os.dup(namespace)
        self._worker: Worker | None = worker
        self._on_close = on_close
        self._fd = fd
        self._owner = os.getpid()
        self._lock = threading.Lock()

    def open(self, path: str, flags: int, mode: int = 0o644, *, links: bool = True) -> int:
        """Open a file or directory (see Root)."""
        fds: list[int] = []
        self._call("open", fds, path=path, flags=flags, mode=mode, links=links)
        return fds[0]

    def stat(self, path: str, *, follow: bool = True, links: bool = True) -> os.stat_result:
        """Give the status (see Root)."""
        fields, more = self._call("stat", path=path, follow=follow, links=links)
        return os.stat_result(fields, more)

    def readlink(self, path: str) -> str:
        """Give the text of a link (see Root)."""
        return str(self._call("readlink", path=path))

    def mkdir(self, path: str, mode: int = 0o755, *, links: bool = True) -> None:
        """Make a directory (see Root)."""
        self._call("mkdir", path=path, mode=mode, links=links)

    def unlink(self, path: str, *, links: bool = True) -> None:
        """Remove what is no directory (see Root)."""
        self._call("unlink", path=path, links=links)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory (see Root)."""
        self._call("rmdir", path=path)

    def rmtree(self, path: str) -> None:
        """Remove a tree (see Root)."""
        self._call("rmtree", path=path)

    def rename(self, path: str, target: str) -> None:
        """Give another name (see Root)."""
        self._call("rename", path=path, target=target)

    def symlink(self, target: str, path: str, *, links: bool = True) -> None:
        """Make a symbolic link (see Root)."""
        self._call("symlink", target=target, path=path, links=links)

    def link(self, path: str, target: str, *, links: bool = True) -> None:
        """Give one more name (see Root)."""
        self._call("link", path=path, target=target, links=links)

    def mknod(self, path: str, mode: int, device: int, *, links: bool = True) -> None:
        """Make a node (see Root)."""
        self._call("mknod", path=path, mode=mode, device=device, links=links)

    def chmod(self, path: str, mode: int, *, follow: bool = True, links: bool = True) -> None:
        """Change the mode (see Root)."""
        self._call("chmod", path=path, mode=mode, follow=follow, links=links)

    def chown(self, path: str, uid: int, gid: int, *, follow: bool = True, links: bool = True) -> None:
        """Change the owner (see Root)."""
        self._call("chown", path=path, uid=uid, gid=gid, follow=follow, links=links)

    def utime(self, path: str, atime_ns: int, mtime_ns: int, *, links: bool = True) -> None:
        """Change the times (see Root)."""
        self._call("utime", path=path, atime_ns=atime_ns, mtime_ns=mtime_ns, links=links)

    def close(self) -> None:
        """End the process (see Root)."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        os.close(fd)
        os.close(self._namespace)
        self._drop()
        self._on_close()

    def _drop(self) -> None:
        worker, self._worker = self._worker, None
        if worker is None:
            return
        if self._owner == os.getpid():
            worker.end()
        else:
            worker.abandon()

    def __del__(self) -> None:
        if self._fd >= 0:
            if self._owner == os.getpid():
                warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            self.close()

    def _call(self, method: str, fds: list[int] | None = None, **arguments: Any) -> Any:
        with self._lock:
            if self._worker is None:  # the one before has failed, or was interrupted
                self._worker = Worker(self._namespace, _IDLE_SECONDS)
            worker = self._worker
            try:
                worker.ask("root", {"method": method, "arguments": arguments}, [self._fd])
                return worker.answer(fds)
            except BaseException as e:
                for fd in fds or ():
                    os.close(fd)
                if isinstance(e, Severed):
                    raise worker.death(str(e)) from e
                raise
            finally:
                if worker.is_busy:  # whose answer is still to come, and belongs to nobody
                    self._drop()


def serve(root: int, method: str, arguments: dict[str, Any]) -> tuple[Any, list[int]]:
    """Carry out what a JoinedRoot asks; give the result and the descriptors that go with it."""
    with closing(LocalRoot(os.dup(root))) as local:
        return _carry_out(local, method, arguments)


def _carry_out(local: LocalRoot, method: str, arguments: dict[str, Any]) -> tuple[Any, list[int]]:
    if method == "open":
        return None, [local.open(**arguments)]
    if method == "stat":
        status = local.stat(**arguments)
        return [list(status), {name: getattr(status, name) for name in _MORE}], []
    return getattr(local, method)(**arguments), []
