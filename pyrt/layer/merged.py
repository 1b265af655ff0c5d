"""The tree that several directories in overlay form show together, as an archive.

Two sides: `stream` asks a worker process of its own, for the mounts that it makes and the copies of the host's that it
has are gone only with it; `mount` is what that process does.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

from pyrt._native import syscalls
from pyrt._native.path import open_in_root
from pyrt.errors import InvalidArgument, SyscallError, Unsupported
from pyrt.layer.apply import is_privileged
from pyrt.layer.trees import Directory, opened
from pyrt.layer.worker_process import Worker
from pyrt.layer.worker_wire import Line, Severed, pair

__all__ = ["descend", "mount", "mount_writable", "own_namespace", "stream"]

_FEATURE = "the merged tree of layers"
_MOST = 500  # OVL_MAX_STACK of the kernel
_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
_START_SECONDS = 60.0
_RESOLVE_NO_SYMLINKS = 4  # openat2(2)
_MOUNTING = "mounting needs root or a user namespace, and no seccomp filter or security module against it"
_KEPT = "index=off,metacopy=off,redirect_dir=nofollow"  # as containers that are kept have it (pyrt.snapshot.Uppers)


@contextmanager
def own_namespace() -> Iterator[int | None]:
    """Give a user namespace whose root is this user, who is alone there; None for root, who needs none.

    Raises Unsupported where the host makes none.
    """
    if os.geteuid() == 0:
        yield None
        return
    from pyrt._native.userns import UserNamespace

    try:
        made = UserNamespace()
    except SyscallError as e:
        raise Unsupported(_FEATURE, f"only root may mount, or a user in a user namespace: {e}") from e
    with closing(made):
        try:
            made.write("setgroups", b"deny")
            made.write("uid_map", b"0 %d 1\n" % os.geteuid())
            made.write("gid_map", b"0 %d 1\n" % os.getegid())
            made.seal()
        except SyscallError as e:
            raise Unsupported(_FEATURE, f"the user namespace to mount it in cannot be mapped: {e}") from e
        yield made.fileno()


def stream(user_namespace: int | None, directories: Sequence[Directory], arguments: dict[str, Any]) -> Iterator[bytes]:
    """Give the archive of the merged tree, by a process that joins the user namespace, or none, and ends with this."""
    if not directories:
        raise InvalidArgument("a merged tree has one directory at least", argument="lowers")
    ours, theirs = pair()
    with ours, theirs, opened(*directories) as fds:
        places = [os.readlink(f"/proc/self/fd/{fd}") for fd in fds]
        above = os.path.commonpath(places)
        paths = [os.path.relpath(place, above) for place in places]
        if len(paths) > 1 and "." in paths:
            raise InvalidArgument(f"a directory to be merged, {above!r}, has all others in it", argument="lowers")
        with opened(above) as [top], _worker(user_namespace) as worker, Line(ours, worker.pidfd) as archive:
            try:
                worker.ask("write_merged", {"paths": paths, **arguments}, [top, *fds, theirs.fileno()])
            except Severed as e:
                raise worker.death(str(e)) from e
            theirs.close()
            with suppress(Severed):  # the answer says why
                yield from archive.chunks()
            worker.answer()


def mount(fds: list[int], paths: Sequence[str]) -> int:
    """Give a descriptor of the merged tree, in mounts that this process has alone from now on; its directory changes.

    `fds` are of a directory above all, and of those to be merged, the topmost first; `paths` lead from the first to the
    others. What is opened is added to `fds`. Raises Unsupported where the kernel refuses, SyscallError.
    """
    os.fchdir(fds[0])
    merged = _visible(fds[1:])
    if len(merged) == 1:
        return _open(fds, ".", merged[0])
    if len(merged) > _MOST:
        raise Unsupported(_FEATURE, f"they are {len(merged)}, and an overlay has {_MOST} directories at most")
    try:
        syscalls.unshare_mounts()
    except SyscallError as e:
        raise Unsupported(_FEATURE, f"{_MOUNTING}: {e}") from e
    top = _open(fds, ".")  # of the new mounts, as only the present directory is: an overlay takes no others
    for fd, path in zip(merged, paths, strict=False):
        _follow(fd, path, top)
    os.chdir("/proc/self/fd")  # short names: all options have one page
    options = f"lowerdir={':'.join(map(str, merged))},index=off" + ",userxattr" * (not is_privileged())
    try:
        syscalls.mount("overlay", str(merged[0]), "overlay", syscalls.MS_RDONLY, options)
    except SyscallError as e:
        raise Unsupported(_FEATURE, f"{e}: {_explain(e.errno)}") from e
    return _open(fds, paths[0], top)


def descend(fds: list[int], top: int, path: str) -> int:
    """Give a descriptor, added to `fds`, of a directory below `top`, on whose way no link is followed."""
    if path:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        fds.append(open_in_root(top, path, flags, resolve=_RESOLVE_NO_SYMLINKS))
    return fds[-1] if path else top


def mount_writable(fds: list[int], paths: Sequence[str]) -> int:
    """Give a descriptor of an overlay that can be written to, as `mount` gives one; who asked has to close it.

    `fds` are of a directory above all, the upper, the work directory and the lowers, the topmost first.
    """
    os.fchdir(fds[0])
    upper, work, *lowers = fds[1:]
    lowers = _visible(lowers)
    try:
        syscalls.unshare_mounts()
    except SyscallError as e:
        raise Unsupported(_FEATURE, f"{_MOUNTING}: {e}") from e
    top = _open(fds, ".")
    for fd, path in zip((upper, work, *lowers), paths, strict=False):
        _follow(fd, path, top)
    os.chdir("/proc/self/fd")
    options = f"lowerdir={':'.join(map(str, lowers))},upperdir={upper},workdir={work}" + ",userxattr" * (
        not is_privileged()
    )
    try:
        syscalls.mount("overlay", str(upper), "overlay", 0, f"{options},{_KEPT}")
    except SyscallError as e:
        raise Unsupported(_FEATURE, f"{e}: {_explain(e.errno)}") from e
    return os.dup(_open(fds, paths[0], top))


def _visible(directories: Sequence[int]) -> list[int]:
    """Leave out those below one that is opaque as a whole: the kernel merges roots whatever they say."""
    name = _OPAQUE[0 if is_privileged() else 1]  # the other one is anybody's in the container to set
    for index, fd in enumerate(directories):
        if _attribute(fd, name) == b"y":
            return list(directories[: index + 1])
    return list(directories)


def _attribute(fd: int, name: str) -> bytes:
    try:
        return os.getxattr(f"/proc/self/fd/{fd}", name)
    except OSError as e:
        if e.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return b""
        raise SyscallError(e.errno or errno.EIO, "getxattr", name, detail="of a merged tree") from e


def _open(fds: list[int], path: str, directory: int | None = None) -> int:
    try:
        fds.append(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory))
    except OSError as e:
        raise SyscallError(e.errno or errno.EIO, "open", path, detail="of a merged tree") from e
    return fds[-1]


def _follow(fd: int, path: str, top: int) -> None:
    """Let a descriptor be of the same directory in the present mounts."""
    opened: list[int] = []
    try:
        found = _open(opened, path, top)
        if not os.path.samestat(os.fstat(found), os.fstat(fd)):
            raise SyscallError(errno.ESTALE, "open", path, detail="it was moved, or something is mounted on it")
        os.dup2(found, fd, inheritable=False)
    finally:
        for each in opened:
            os.close(each)


def _explain(code: int | None) -> str:
    if code == errno.ENODEV:
        return "the kernel has no overlay file system; as root: modprobe overlay"
    if code == errno.EPERM and not is_privileged():
        return "the kernel lets only root mount an overlay (before Linux 5.11), or a security module forbids it"
    if code == errno.EINVAL:
        return "a file system is mounted below one of them, or theirs cannot be in an overlay"
    if code == errno.ELOOP:
        return "one of them is in another, or twice there"
    return "the kernel refuses"


@contextmanager
def _worker(user_namespace: int | None) -> Iterator[Worker]:
    worker, pid = Worker(user_namespace, _START_SECONDS), os.getpid()
    try:
        yield worker
    finally:
        if os.getpid() == pid:
            worker.end()
        else:  # a forked child gives up its copy
            worker.abandon()
