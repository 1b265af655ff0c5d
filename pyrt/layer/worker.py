"""What a worker executes: it joins a user namespace, or none, and carries out verbs there, one after the other.

Descriptor 0 is the connection to its owner, 1 and 2 take what Python says when it fails; nothing else that it inherits
is kept. It ends with the connection, after a while without requests, and at once when its owner has ended.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple, dataclass
from typing import Any

from pyrt._native import syscalls
from pyrt.errors import SyscallError
from pyrt.layer.applied import Limits
from pyrt.layer.removal import remove_child
from pyrt.layer.trees import LocalTrees, make_child
from pyrt.layer.worker_wire import Line, Severed, pack_error, unpack_pending
from pyrt.layer.write import write

__all__ = ["main"]


@dataclass(frozen=True, slots=True)
class Given:
    """What a verb gives, where descriptors go with it; they are closed here afterwards."""

    result: Any
    fds: list[int]


def main() -> None:
    """Serve until the end."""
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir("/")
    os.umask(0)
    connection = socket.socket(fileno=0)
    with Line(connection) as owner:
        fds: list[int] = []
        idle_seconds = owner.hear(fds)["idle_seconds"]
        try:
            join(*fds)
        except BaseException as error:
            owner.tell({"error": pack_error(error)})
            return
        owner.tell({"result": None})
        try:
            _serve(owner)  # there is work for a process that was just started
            while True:
                _await_request(connection, idle_seconds)
                _serve(owner)
        except Severed:
            return


def join(owner: int, user_namespace: int | None = None) -> None:
    """Become root of a user namespace, if one is given, and watch the owner, a pidfd. Raises SyscallError."""
    # Else a container of that namespace that sees this process could, with CAP_SYS_PTRACE, become the host's user.
    syscalls.set_undumpable()
    if user_namespace is not None:
        _become_root(user_namespace)
    threading.Thread(target=_end_with, args=(owner,), daemon=True).start()


def _become_root(user_namespace: int) -> None:
    syscalls.join_user_namespace(user_namespace)
    os.close(user_namespace)
    with suppress(PermissionError):  # denied in namespaces that map no groups but the user's
        os.setgroups([])
    try:
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    except OSError as e:
        raise SyscallError(e.errno or errno.EIO, "setresuid", detail="the user namespace has no root") from e


def _end_with(owner: int) -> None:
    waiter = select.poll()
    waiter.register(owner, select.POLLIN)
    waiter.poll()
    os._exit(0)


def _await_request(connection: socket.socket, idle_seconds: float) -> None:
    """Wait for the first byte of a request; after a while no further one is taken, but one that was just sent is."""
    waiter = select.poll()
    waiter.register(connection, select.POLLIN)
    if not waiter.poll(idle_seconds * 1000):
        connection.shutdown(socket.SHUT_RD)


def _serve(owner: Line) -> None:
    fds: list[int] = []
    given: list[int] = []
    try:
        request = owner.hear(fds)
        try:
            result = _VERBS[request["verb"]](fds, **request["arguments"])
            if isinstance(result, Given):
                result, given = result.result, result.fds
            reply = {"result": result}
        except Severed:
            raise
        except BaseException as error:
            reply = {"error": pack_error(error)}
    finally:
        for fd in fds:  # before the answer: then nothing here holds a directory, and what it is mounted on
            os.close(fd)
    try:
        owner.tell(reply, given)
    finally:
        for fd in given:
            os.close(fd)


def _apply(fds: list[int], limits: list[int] | None) -> Any:
    stream = fds.pop()
    with Line(socket.socket(fileno=stream)) as archive:
        _reopen(fds)
        return astuple(_TREES.apply(archive.chunks(), fds[0], limits=Limits(*limits) if limits else None))


def _settle(fds: list[int], pending: list[Any]) -> None:
    _reopen(fds)
    _TREES.settle(fds[0], unpack_pending(pending), fds[1:])


def _write(fds: list[int], **options: Any) -> None:
    stream = fds.pop()
    with Line(socket.socket(fileno=stream)) as archive:
        _reopen(fds)
        for piece in _TREES.write(fds[0], **options):
            archive.send(piece)
        archive.end()


def _write_merged(fds: list[int], paths: list[str], path: str, **options: Any) -> None:
    from pyrt.layer.merged import descend, mount

    stream = fds.pop()
    with Line(socket.socket(fileno=stream)) as archive:
        for piece in write(descend(fds, mount(fds, paths), path), plain=True, **options):
            archive.send(piece)
        archive.end()


def _changes(fds: list[int]) -> list[Any]:
    _reopen(fds)
    return [astuple(change) for change in _TREES.changes(fds[0], fds[1:])]


def _compare(fds: list[int]) -> list[Any]:
    _reopen(fds)
    return [astuple(change) for change in _TREES.compare(*fds)]


def _copy_up(fds: list[int], path: str, has_work: bool) -> None:
    _reopen(fds)
    work = fds[1] if has_work else None
    _TREES.copy_up(fds[2 if has_work else 1 :], fds[0], path, work=work)


def _find(fds: list[int], path: str, has_upper: bool, follow: bool) -> Any:
    _reopen(fds)
    upper = fds[0] if has_upper else None
    return astuple(_TREES.find(fds[1 if has_upper else 0 :], upper, path, follow=follow))


def _remove_path(fds: list[int], path: str, has_work: bool) -> None:
    _reopen(fds)
    _TREES.remove_path(fds[2 if has_work else 1 :], fds[0], path, work=fds[1] if has_work else None)


def _make_path(fds: list[int], path: str, mode: int, has_work: bool) -> None:
    _reopen(fds)
    _TREES.make_path(fds[2 if has_work else 1 :], fds[0], path, mode, work=fds[1] if has_work else None)


def _make_directory(fds: list[int], name: str, mode: int) -> None:
    make_child(fds[0], name, mode)


def _remove(fds: list[int], name: str) -> None:
    remove_child(fds[0], name)


def _root(fds: list[int], method: str, arguments: dict[str, Any]) -> Given:
    from pyrt.layer.namespaced import serve

    return Given(*serve(fds[0], method, arguments))


def _overlay(fds: list[int], paths: list[str]) -> Given:
    from pyrt.layer.merged import mount_writable

    return Given(None, [mount_writable(fds, paths)])


def _reopen(fds: list[int]) -> None:
    """Make descriptors of directories that are only places (O_PATH) readable, with the rights of this process."""
    for fd in fds:
        readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.dup2(readable, fd, inheritable=False)
        os.close(readable)


_TREES = LocalTrees()
_VERBS: dict[str, Callable[..., Any]] = {
    "apply": _apply,
    "settle": _settle,
    "write": _write,
    "write_merged": _write_merged,
    "changes": _changes,
    "compare": _compare,
    "copy_up": _copy_up,
    "find": _find,
    "remove_path": _remove_path,
    "make_path": _make_path,
    "make_directory": _make_directory,
    "remove": _remove,
    "root": _root,
    "overlay": _overlay,
}
