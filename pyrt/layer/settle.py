"""Give an unpacked layer what it could only have from the layers below it.

Hard links to files of lower layers become copies: overlayfs cannot show files of two layers as one. Directories that
the archive only implied take the attributes of the topmost lower one that is under their feet.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from pyrt._native.path import open_in_root
from pyrt.errors import InvalidSpec, SyscallError
from pyrt.layer.applied import Link, Pending
from pyrt.layer.apply import Owner, default_owner, is_privileged, opened
from pyrt.layer.copyup import Found, copy_up, find

__all__ = ["settle"]

_NO_SYMLINKS = 4  # RESOLVE_NO_SYMLINKS of openat2(2)
_OVERLAY = ("trusted.overlay.", "user.overlay.")
_REFUSED = frozenset({errno.EPERM, errno.EACCES, errno.EOPNOTSUPP})


def settle(directory: str | int, pending: Pending, lowers: Sequence[str | int], *, owner: Owner | None = None) -> None:
    """Do what apply() has left undone in `directory`; `lowers` are the settled layers below it, topmost first.

    Raises InvalidSpec for a hard link to what no layer has, and SyscallError.
    """
    with ExitStack() as stack:
        root = stack.enter_context(opened(directory))
        descriptors = [stack.enter_context(opened(lower)) for lower in lowers]
        settling = _Settling(root, descriptors, owner or default_owner())
        settling.make_links(pending.links)
        if pending.opaque_root:
            settling.hide_lowers()
        settling.take_attributes(pending.implied)


class _Settling:
    def __init__(self, root: int, lowers: Sequence[int], owner: Owner) -> None:
        self._root = root
        self._lowers = lowers
        self._own_ids = owner == "caller"
        self._userxattr = not is_privileged()
        self._copies: dict[tuple[int, str], str] = {}  # what was copied up from where

    def make_links(self, links: Sequence[Link]) -> None:
        """Make the links, a target that is one of them first."""
        left = {link.path: link for link in links}
        for first in links:  # each is met once: a chain may be as long as the layer
            chain, path = [], first.path
            while link := left.pop(path, None):
                chain.append(link)
                path = link.target
            for each in reversed(chain):
                self._make_link(each)

    def _make_link(self, link: Link) -> None:
        parent, name = os.path.split(link.path)
        with self._changing(parent) as fd:
            if _exists(fd, name):  # a later entry of the layer
                return
            try:
                found = find(self._lowers, self._root, link.target, follow=False, userxattr=self._userxattr)
            except SyscallError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                    raise
                raise InvalidSpec(
                    f"the layer's entry {link.path!r}: a hard link to {link.target!r}, which no layer has"
                ) from error
            source = found.path if found.layer == 0 else self._copies.get((found.layer, found.path))
            if source is None:
                self._copy(found, link)
            else:
                self._link(source, fd, name)

    def _copy(self, found: Found, link: Link) -> None:
        try:
            copy_up(
                self._lowers,
                self._root,
                found.path,
                target=link.path,
                userxattr=self._userxattr,
                own_ids=self._own_ids,
                durable=False,
            )
        except SyscallError as error:
            if error.errno != errno.EISDIR:
                raise
            raise InvalidSpec(
                f"the layer's entry {link.path!r}: a hard link to {link.target!r}, a directory"
            ) from error
        self._copies[found.layer, found.path] = link.path

    def _link(self, source: str, parent: int, name: str) -> None:
        directory, old = os.path.split(source)
        fd = self._open(directory, os.O_PATH)
        try:
            if os.path.lexists(f"/proc/self/fd/{parent}/{name}"):
                os.unlink(name, dir_fd=parent)  # a whiteout
            os.link(old, name, src_dir_fd=fd, dst_dir_fd=parent, follow_symlinks=False)
        except PermissionError as error:
            raise InvalidSpec(f"the layer's entry {name!r}: a hard link to {source!r}, a directory") from error
        except OSError as error:  # EMLINK: an archive may have more names for a file than the file system
            raise SyscallError(error.errno or errno.EIO, "link", name) from error
        finally:
            os.close(fd)

    def hide_lowers(self) -> None:
        """Let nothing of the lower layers be seen: overlayfs knows no opaque root."""
        with self._changing("") as root:
            for name in {name for lower in self._lowers for name in os.listdir(lower)}:
                try:
                    os.mknod(name, stat.S_IFCHR, 0, dir_fd=root)
                except FileExistsError:
                    self._hide_below(name)

    def _hide_below(self, name: str) -> None:
        try:
            fd = self._open(name, os.O_RDONLY)
        except SyscallError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                return
            raise
        try:
            for prefix in _OVERLAY[1 if self._userxattr else 0 :]:
                os.setxattr(fd, f"{prefix}opaque", b"y")
        finally:
            os.close(fd)

    def take_attributes(self, paths: Sequence[str]) -> None:
        """Give directories the owner, mode, xattrs and times that they have in the lower layers."""
        for path in paths:
            lower = self._lower_directory(path)
            if lower is None:
                continue
            try:
                fd = self._open(path, os.O_RDONLY)
                try:
                    self._copy_attributes(lower, fd)
                finally:
                    os.close(fd)
            finally:
                os.close(lower)

    def _lower_directory(self, path: str) -> int | None:
        if not self._lowers:
            return None
        if not path:
            return os.dup(self._lowers[0])
        try:
            found = find(self._lowers, None, path, follow=False, userxattr=self._userxattr)
            if found.path != path:  # behind a link, which the directory hides
                return None
            lower = self._lowers[found.layer - 1]
            return open_in_root(lower, path, os.O_RDONLY | os.O_DIRECTORY, resolve=_NO_SYMLINKS)
        except SyscallError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise

    def _copy_attributes(self, source: int, target: int) -> None:
        st = os.fstat(source)
        if not self._own_ids:
            os.fchown(target, st.st_uid, st.st_gid)
        for name in os.listxattr(source):
            if name.startswith(_OVERLAY):
                continue
            try:
                os.setxattr(target, name, os.getxattr(source, name))
            except OSError as error:
                if error.errno not in _REFUSED:
                    raise
        os.fchmod(target, stat.S_IMODE(st.st_mode))
        os.utime(target, ns=(st.st_mtime_ns, st.st_mtime_ns))

    def _open(self, path: str, flags: int) -> int:
        return open_in_root(self._root, path, flags | os.O_DIRECTORY | os.O_NOFOLLOW, resolve=_NO_SYMLINKS)

    @contextmanager
    def _changing(self, path: str) -> Iterator[int]:
        """Open a directory to change what is in it, but neither its times nor its mode."""
        fd = self._open(path, os.O_RDONLY)
        try:
            st = os.fstat(fd)
            mode = stat.S_IMODE(st.st_mode)
            if self._own_ids and mode & stat.S_IRWXU != stat.S_IRWXU:
                os.fchmod(fd, mode | stat.S_IRWXU)
            yield fd
            if self._own_ids and mode & stat.S_IRWXU != stat.S_IRWXU:
                os.fchmod(fd, mode)
            os.utime(fd, ns=(st.st_mtime_ns, st.st_mtime_ns))
        finally:
            os.close(fd)


def _exists(parent: int, name: str) -> bool:
    """Say whether a directory has more than a whiteout of this name."""
    try:
        st = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return not (stat.S_ISCHR(st.st_mode) and st.st_rdev == 0)
