"""The contract of who works on trees, and the one that does it in this process.

Trees carries out the verbs on directories that hold layers, whoever their files belong to. A directory is an absolute
path or a descriptor, which stays the caller's; it is in overlay form. What the verbs mean is said by the functions of
this room that have their names; what they do with owners, device nodes and an overlay's attributes follows from who
carries them out:

- root of the machine keeps everything, and says `opaque` in trusted.overlay.* and in user.overlay.*;
- a user with subordinate ids keeps owners and modes, within the ids of its user namespace; there are no device nodes
  (but whiteouts, which anybody may make), and an overlay's attributes are user.overlay.*;
- another user owns all files itself; set-id bits for others are lost.

A verb that fails leaves what it has made so far: `remove` takes it away again. A tree that one may not even list is
removed like any other, as long as its directories are one's own. Any number of threads may use one Trees, on different
directories; in a forked child it may be used as well. After `close` it is used no more.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

from pyrt.errors import InvalidArgument
from pyrt.layer.removal import remove_tree, told

if TYPE_CHECKING:
    from pyrt.layer.applied import Applied, Limits, Pending
    from pyrt.layer.changes import Change
    from pyrt.layer.copyup import Found
    from pyrt.layer.write import IdMap

__all__ = ["LocalTrees", "Trees", "is_there", "make_child", "open_path", "opened", "parent_of"]

Directory = int | str


class Trees(Protocol):
    """Carries out the verbs on trees."""

    def apply(self, chunks: Iterable[bytes], directory: Directory, *, limits: Limits | None = None) -> Applied:
        """Unpack an uncompressed archive into an empty directory (see apply)."""

    def settle(self, directory: Directory, pending: Pending, lowers: Sequence[Directory]) -> None:
        """Do what `apply` has left undone, with the settled layers below, the topmost first (see settle)."""

    def write(
        self,
        directory: Directory,
        *,
        uids: IdMap = (),
        gids: IdMap = (),
        latest: int | None = None,
        root: bool = False,
    ) -> Iterator[bytes]:
        """Give the archive of a directory (see write), in pieces of 1 MiB at most.

        What belongs to a user without subordinate ids is root's in the archive, as it is in a container.
        """

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
        """Give the archive of the one tree that directories, the topmost first, show together: without whiteouts.

        Another process mounts it where nobody else sees it, and ends with the iterator. `path` is a directory of it,
        reached without links, whose archive alone is wanted. The other options are those of `write`. Owners are as root
        of the user namespace sees them; a user without subordinate ids is root there.

        Raises, while iterating, besides what `write` raises: Unsupported where the kernel gives no overlay of them,
        InvalidArgument for none, PyrtError where the process ended before its work.
        """

    def changes(self, upper: Directory, lowers: Sequence[Directory]) -> tuple[Change, ...]:
        """Give what an upper changes in its lowers, the topmost first (see changes)."""

    def compare(self, before: Directory, after: Directory) -> tuple[Change, ...]:
        """Give the difference of two plain trees (see compare)."""

    def copy_up(
        self, lowers: Sequence[Directory], upper: Directory, path: str, *, work: Directory | None = None
    ) -> None:
        """Make `path` of a lower layer appear in the upper (see copy_up)."""

    def find(self, lowers: Sequence[Directory], upper: Directory | None, path: str, *, follow: bool = True) -> Found:
        """Say where `path` leads in the merged tree (see find)."""

    def remove_path(
        self, lowers: Sequence[Directory], upper: Directory, path: str, *, work: Directory | None = None
    ) -> None:
        """Remove `path` of the merged tree, by what is written into its upper (see remove)."""

    def make_path(
        self,
        lowers: Sequence[Directory],
        upper: Directory,
        path: str,
        mode: int = 0o755,
        *,
        work: Directory | None = None,
    ) -> None:
        """Make the new directory `path` of the merged tree, and those above it (see make_directory)."""

    def make_directory(self, path: str, mode: int = 0o755) -> None:
        """Make the directory `path`, whatever the umask says; SyscallError where something is there."""

    def remove(self, directory: str) -> None:
        """Remove a directory with all that is in it; one that is not there is no error. Raises SyscallError."""

    def close(self) -> None:
        """End what works for this object. A second call does nothing."""


class LocalTrees:
    """The verbs in this process, with its rights."""

    def apply(self, chunks: Iterable[bytes], directory: Directory, *, limits: Limits | None = None) -> Applied:
        """Unpack an archive (see Trees)."""
        from pyrt.layer.apply import apply

        return apply(chunks, directory, limits=limits)

    def settle(self, directory: Directory, pending: Pending, lowers: Sequence[Directory]) -> None:
        """Do what `apply` has left undone (see Trees)."""
        from pyrt.layer.settle import settle

        settle(directory, pending, lowers)

    def write(
        self,
        directory: Directory,
        *,
        uids: IdMap = (),
        gids: IdMap = (),
        latest: int | None = None,
        root: bool = False,
    ) -> Iterator[bytes]:
        """Give the archive of a directory (see Trees)."""
        from pyrt.layer.apply import default_owner
        from pyrt.layer.write import write

        if default_owner() == "caller":  # who is root in the container that has written it
            uids, gids = uids or ((0, os.geteuid(), 1),), gids or ((0, os.getegid(), 1),)
        return write(directory, uids=uids, gids=gids, latest=latest, root=root)

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
        """Give the archive of the merged tree (see Trees)."""
        from pyrt.layer.merged import own_namespace, stream

        arguments = {"uids": list(uids), "gids": list(gids), "latest": latest, "root": root, "path": path}
        with own_namespace() as user_namespace:
            yield from stream(user_namespace, lowers, arguments)

    def changes(self, upper: Directory, lowers: Sequence[Directory]) -> tuple[Change, ...]:
        """Give what an upper changes (see Trees)."""
        from pyrt.layer.apply import is_privileged
        from pyrt.layer.changes import changes

        return changes(upper, lowers, userxattr=not is_privileged())

    def compare(self, before: Directory, after: Directory) -> tuple[Change, ...]:
        """Give the difference of two trees (see Trees)."""
        from pyrt.layer.changes import compare

        return compare(before, after)

    def copy_up(
        self, lowers: Sequence[Directory], upper: Directory, path: str, *, work: Directory | None = None
    ) -> None:
        """Copy up (see Trees)."""
        from pyrt.layer.copyup import copy_up

        userxattr, own_ids = _rights()
        copy_up(lowers, upper, path, work=work, userxattr=userxattr, own_ids=own_ids)

    def find(self, lowers: Sequence[Directory], upper: Directory | None, path: str, *, follow: bool = True) -> Found:
        """Say where a path leads (see Trees)."""
        from pyrt.layer.copyup import find

        userxattr, _ = _rights()
        return find(lowers, upper, path, follow=follow, userxattr=userxattr)

    def remove_path(
        self, lowers: Sequence[Directory], upper: Directory, path: str, *, work: Directory | None = None
    ) -> None:
        """Remove a path (see Trees)."""
        from pyrt.layer.copyup import remove

        userxattr, own_ids = _rights()
        remove(lowers, upper, path, work=work, userxattr=userxattr, own_ids=own_ids)

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
        from pyrt.layer.copyup import make_directory

        userxattr, own_ids = _rights()
        make_directory(lowers, upper, path, mode, work=work, userxattr=userxattr, own_ids=own_ids)

    def make_directory(self, path: str, mode: int = 0o755) -> None:
        """Make a directory (see Trees)."""
        with parent_of(path) as (parent, name):
            make_child(parent, name, mode)

    def remove(self, directory: str) -> None:
        """Remove a tree (see Trees)."""
        if is_there(directory):
            remove_tree(directory)

    def close(self) -> None:
        """Do nothing (see Trees)."""


@contextmanager
def parent_of(path: str) -> Iterator[tuple[int, str]]:
    """Give a descriptor (O_PATH) of the directory above an absolute path, and the last component."""
    above, name = _split(path)
    fd = open_path(above)
    try:
        yield fd, name
    finally:
        os.close(fd)


def is_there(path: str) -> bool:
    """Say whether an absolute path leads to anything. Raises InvalidArgument where it is none, or is the root."""
    return os.path.lexists(os.path.join(*_split(path)))


def open_path(directory: str) -> int:
    """Open a directory so that who may read it can do so by the descriptor (O_PATH). Raises SyscallError."""
    with told("open", directory):
        return os.open(directory, os.O_PATH | os.O_DIRECTORY)


@contextmanager
def opened(*directories: Directory) -> Iterator[list[int]]:
    """Open directories that are given by their paths (O_PATH). Raises SyscallError."""
    with ExitStack() as stack:
        fds = []
        for directory in directories:
            if isinstance(directory, int):
                fds.append(directory)
                continue
            fds.append(open_path(directory))
            stack.callback(os.close, fds[-1])
        yield fds


def make_child(parent: int, name: str, mode: int) -> None:
    """Make a directory in another. Raises SyscallError."""
    with told("mkdir", name):
        os.mkdir(name, 0o700, dir_fd=parent)
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            os.fchmod(fd, mode)
        finally:
            os.close(fd)


def _rights() -> tuple[bool, bool]:
    """Say whether an overlay's attributes are user.*, and whether all files are the caller's own."""
    from pyrt.layer.apply import default_owner, is_privileged

    return not is_privileged(), default_owner() == "caller"


def _split(path: str) -> tuple[str, str]:
    above, name = os.path.split(os.path.normpath(path))
    if not name or not above.startswith("/"):
        raise InvalidArgument(f"{path!r} is no absolute path of a directory below the root", argument="path")
    return above, name
