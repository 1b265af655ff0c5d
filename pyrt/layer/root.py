"""The files below one root directory, by paths that never lead out of it, whoever changes what is there meanwhile.

Takes paths of the tree, absolute or relative to its root; symbolic links in them lead where they would in a chroot.
Root is the contract, and LocalRoot keeps it in this process, with its rights; JoinedRoot does it in a user namespace.
"""

from __future__ import annotations

import errno
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from pyrt._native.path import open_in_root
from pyrt.errors import SyscallError
from pyrt.layer.removal import remove_child, told
from pyrt.layer.trees import make_child

__all__ = ["LocalRoot", "Root"]

_RESOLVE_NO_SYMLINKS = 4  # openat2(2)
_PLACE = os.O_PATH
_KINDS = {stat.S_IFIFO: "a fifo", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


class Root(Protocol):
    """One root directory and all below it. Every method raises SyscallError.

    `follow` False does not follow a symbolic link at the end of a path; `links` False does neither, and refuses one on
    the way to it (ELOOP). Descriptors that are given are the caller's, and close on exec. Thread-safe.
    """

    def open(self, path: str, flags: int, mode: int = 0o644, *, links: bool = True) -> int:
        """Open a regular file or a directory; anything else is never opened, and EINVAL.

        `flags` are open(2)'s. A new file has exactly this mode, and is never one that a dangling link names.
        """

    def stat(self, path: str, *, follow: bool = True, links: bool = True) -> os.stat_result:
        """Give the status of what is at a path."""

    def readlink(self, path: str) -> str:
        """Give the text of a symbolic link."""

    def mkdir(self, path: str, mode: int = 0o755, *, links: bool = True) -> None:
        """Make a directory of exactly this mode, in one that is there."""

    def unlink(self, path: str, *, links: bool = True) -> None:
        """Remove what is no directory."""

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""

    def rmtree(self, path: str) -> None:
        """Remove a directory with all that is in it; no link is followed, and no mount is entered."""

    def rename(self, path: str, target: str) -> None:
        """Give something another name, which may have been that of something else (rename(2))."""

    def symlink(self, target: str, path: str, *, links: bool = True) -> None:
        """Make a symbolic link; what it says is nobody's concern here."""

    def link(self, path: str, target: str, *, links: bool = True) -> None:
        """Give what is at `path`, which is no directory and not followed, another name."""

    def mknod(self, path: str, mode: int, device: int, *, links: bool = True) -> None:
        """Make a fifo or a device node, of exactly this mode."""

    def chmod(self, path: str, mode: int, *, follow: bool = True, links: bool = True) -> None:
        """Change the mode of what a path leads to; a link has none (EOPNOTSUPP)."""

    def chown(self, path: str, uid: int, gid: int, *, follow: bool = True, links: bool = True) -> None:
        """Change the owner; -1 leaves an id as it is."""

    def utime(self, path: str, atime_ns: int, mtime_ns: int, *, links: bool = True) -> None:
        """Change the times of what is at a path, which is not followed."""

    def close(self) -> None:
        """Let go of it. A second call does nothing."""


class LocalRoot:
    """The files below the directory `fd` (see Root), which becomes this object's own; `on_close` is called once."""

    def __init__(self, fd: int, *, on_close: Callable[[], None] = lambda: None) -> None:
        self._fd = fd
        self._on_close = on_close

    def open(self, path: str, flags: int, mode: int = 0o644, *, links: bool = True) -> int:
        """Open a file or directory (see Root)."""
        if flags & os.O_CREAT:
            made = self._make(path, flags, mode, links)
            if made is not None:
                return made
        with self._place(path, links=links) as place:
            return _reopen(place, path, flags & ~(os.O_CREAT | os.O_EXCL))

    def stat(self, path: str, *, follow: bool = True, links: bool = True) -> os.stat_result:
        """Give the status (see Root)."""
        with self._place(path, follow=follow, links=links) as place:
            return os.fstat(place)

    def readlink(self, path: str) -> str:
        """Give the text of a link (see Root)."""
        with self._place(path, follow=False) as place, told("readlink", path):
            if not stat.S_ISLNK(os.fstat(place).st_mode):
                raise SyscallError(errno.EINVAL, "readlink", path, detail="it is no symbolic link")
            return os.readlink("", dir_fd=place)

    def mkdir(self, path: str, mode: int = 0o755, *, links: bool = True) -> None:
        """Make a directory (see Root)."""
        with self._entry(path, links) as (parent, name), told("mkdir", path):
            make_child(parent, name, mode)

    def unlink(self, path: str, *, links: bool = True) -> None:
        """Remove what is no directory (see Root)."""
        with self._entry(path, links) as (parent, name), told("unlink", path):
            os.unlink(name, dir_fd=parent)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory (see Root)."""
        with self._entry(path) as (parent, name), told("rmdir", path):
            os.rmdir(name, dir_fd=parent)

    def rmtree(self, path: str) -> None:
        """Remove a tree (see Root)."""
        with self._entry(path) as (parent, name):
            try:
                remove_child(parent, name)
            except SyscallError as e:
                raise SyscallError(e.errno or errno.EIO, "remove", path) from e

    def rename(self, path: str, target: str) -> None:
        """Give another name (see Root)."""
        with self._entry(path) as (parent, name), self._entry(target) as (other, new), told("rename", path):
            os.rename(name, new, src_dir_fd=parent, dst_dir_fd=other)

    def symlink(self, target: str, path: str, *, links: bool = True) -> None:
        """Make a symbolic link (see Root)."""
        with self._entry(path, links) as (parent, name), told("symlink", path):
            os.symlink(target, name, dir_fd=parent)

    def link(self, path: str, target: str, *, links: bool = True) -> None:
        """Give one more name (see Root)."""
        with (
            self._entry(path, links) as (parent, name),
            self._entry(target, links) as (other, new),
            told("link", path),
        ):
            os.link(name, new, src_dir_fd=parent, dst_dir_fd=other, follow_symlinks=False)

    def mknod(self, path: str, mode: int, device: int, *, links: bool = True) -> None:
        """Make a node (see Root)."""
        with self._entry(path, links) as (parent, name), told("mknod", path):
            os.mknod(name, stat.S_IFMT(mode) | 0o600, device, dir_fd=parent)
            place = os.open(name, _PLACE | os.O_NOFOLLOW, dir_fd=parent)
            try:
                os.chmod(f"/proc/self/fd/{place}", stat.S_IMODE(mode))
            finally:
                os.close(place)

    def chmod(self, path: str, mode: int, *, follow: bool = True, links: bool = True) -> None:
        """Change the mode (see Root)."""
        with self._place(path, follow=follow, links=links) as place, told("chmod", path):
            os.chmod(f"/proc/self/fd/{place}", mode)

    def chown(self, path: str, uid: int, gid: int, *, follow: bool = True, links: bool = True) -> None:
        """Change the owner (see Root)."""
        with self._place(path, follow=follow, links=links) as place, told("chown", path):
            os.chown(f"/proc/self/fd/{place}", uid, gid)

    def utime(self, path: str, atime_ns: int, mtime_ns: int, *, links: bool = True) -> None:
        """Change the times (see Root)."""
        with self._place(path, follow=False, links=links) as place, told("utime", path):
            os.utime(f"/proc/self/fd/{place}", ns=(atime_ns, mtime_ns))

    def close(self) -> None:
        """Close the descriptor (see Root)."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
            self._on_close()

    def __del__(self) -> None:
        if self._fd >= 0:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            self.close()

    def _make(self, path: str, flags: int, mode: int, links: bool) -> int | None:
        """Make a file; None where something has its name and may have it."""
        with self._entry(path, links) as (parent, name):
            try:
                fd = os.open(name, flags | os.O_EXCL | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600, dir_fd=parent)
            except FileExistsError as e:
                if flags & os.O_EXCL:
                    raise SyscallError(errno.EEXIST, "open", path) from e
                return None
            except OSError as e:
                raise SyscallError(e.errno or errno.EIO, "open", path) from e
        try:
            with told("chmod", path):
                os.fchmod(fd, mode)
            return fd
        except BaseException:
            os.close(fd)
            raise

    @contextmanager
    def _place(self, path: str, *, follow: bool = True, links: bool = True) -> Iterator[int]:
        """Open what a path leads to as a place only (O_PATH), which waits for nobody and reads nothing."""
        flags = _PLACE | (0 if follow and links else os.O_NOFOLLOW)
        place = open_in_root(self._fd, path or "/", flags, resolve=0 if links else _RESOLVE_NO_SYMLINKS)
        try:
            yield place
        finally:
            os.close(place)

    @contextmanager
    def _entry(self, path: str, links: bool = True) -> Iterator[tuple[int, str]]:
        """Open the directory that a path's last component is in."""
        above, _, name = path.rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            raise SyscallError(errno.EINVAL, "open", path, detail="the path names no entry of a directory")
        flags = _PLACE | os.O_DIRECTORY
        parent = open_in_root(self._fd, above or "/", flags, resolve=0 if links else _RESOLVE_NO_SYMLINKS)
        try:
            yield parent, name
        finally:
            os.close(parent)


def _reopen(place: int, path: str, flags: int) -> int:
    """Open what a place is, if that is a regular file or a directory."""
    kind = stat.S_IFMT(os.fstat(place).st_mode)
    with told("open", path):
        if kind == stat.S_IFDIR:
            return os.open(".", flags | os.O_DIRECTORY, dir_fd=place)
        if kind == stat.S_IFREG:
            return os.open(f"/proc/self/fd/{place}", flags | os.O_NOCTTY | os.O_NONBLOCK)
    if kind == stat.S_IFLNK:
        raise SyscallError(errno.ELOOP, "open", path, detail="a symbolic link is there")
    raise SyscallError(errno.EINVAL, "open", path, detail=f"{_KINDS[kind]} is there, and only files are opened")
