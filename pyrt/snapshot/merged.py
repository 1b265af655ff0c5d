"""Several directories seen as the one tree that an overlay of them shows, without mounting it.

Takes lower directories in overlay form, the topmost first; gives what a path means in the merged tree. A whiteout is a
0/0 character device, an opaque directory has the attribute trusted.overlay.opaque or user.overlay.opaque. Symbolic
links lead where they would in a root made of the tree, and never out of it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from pyrt._native.path import open_in_root
from pyrt.errors import SyscallError

__all__ = ["Merged", "is_opaque", "is_whiteout", "visible"]

MAX_LINKS = 40  # as the kernel's own limit
_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})
_RESOLVE_NO_SYMLINKS = 4  # openat2(2)


@dataclass(frozen=True, slots=True)
class Merged:
    """The tree that `lowers` (absolute paths, the topmost first) make together."""

    lowers: tuple[str, ...]

    def lstat(self, path: str) -> os.stat_result | None:
        """Give the status of what is at the absolute `path`, on whose way no link is followed; None: nothing is."""
        found = self._find(path)
        return None if found is None else found[1]

    def open(self, path: str) -> int:
        """Open what the absolute `path` leads to, following links; give a descriptor (O_PATH).

        Raises SyscallError: ENOENT where nothing is, ELOOP for links without end.
        """
        if len(self.lowers) == 1:
            return _open_below(self.lowers[0], path, resolve=0)
        at = self._resolve(path)
        found = self._find(at)
        if found is None:
            raise _absent(path)
        return _open_below(found[0], at)

    def directories(self, path: str) -> tuple[str, ...]:
        """Give the directories of the lowers that make the one to which the absolute `path` leads, the topmost first.

        They are a chain of lowers themselves. None at all: what is there is no directory. Raises SyscallError: ENOENT
        where nothing is, ELOOP for links without end.
        """
        prefixes, found = _prefixes(self._resolve(path)), []
        for lower in self.lowers:
            is_there, hides = _look(lower, prefixes)
            if is_there:
                found.append(lower + prefixes[-1])
            if hides:
                break
        return tuple(found)

    def _resolve(self, path: str) -> str:
        """Give the same place without links: "" for the root, else a slash before each name."""
        rest, at, links, is_directory = path.split("/")[::-1], "", 0, True
        while rest:
            name = rest.pop()
            if not is_directory:
                raise _absent(path)
            if name in ("", "."):
                continue
            if name == "..":
                at = at.rpartition("/")[0]
                continue
            found = self._find(f"{at}/{name}")
            if found is None:
                raise _absent(path)
            lower, status = found
            if not stat.S_ISLNK(status.st_mode):
                at, is_directory = f"{at}/{name}", stat.S_ISDIR(status.st_mode)
                continue
            links += 1
            if links > MAX_LINKS:
                raise SyscallError(errno.ELOOP, "open", path, detail="in the merged tree of an image")
            target = os.readlink(f"{lower}{at}/{name}")
            at = "" if target.startswith("/") else at
            rest += target.split("/")[::-1]
        return at

    def _find(self, path: str) -> tuple[str, os.stat_result] | None:
        """Give what is at `path`, and the topmost lower that has it."""
        prefixes = _prefixes(path)
        for lower in self.lowers:
            for depth, prefix in enumerate(prefixes):
                try:
                    status = os.lstat(lower + prefix)
                except OSError as e:
                    if e.errno not in _ABSENT:
                        raise
                    if any(is_opaque(lower + above) for above in prefixes[:depth]):
                        return None
                    break
                if depth + 1 == len(prefixes):
                    return None if is_whiteout(status) else (lower, status)
                if not stat.S_ISDIR(status.st_mode):
                    return None
        return None


def _prefixes(path: str) -> list[str]:
    return list(accumulate((f"/{name}" for name in path.split("/") if name), initial=""))


def _look(lower: str, prefixes: Sequence[str]) -> tuple[bool, bool]:
    """Say whether a lower has a directory at the last prefix, and whether it hides what those below it have there."""
    hides = False
    for prefix in prefixes:
        try:
            status = os.lstat(lower + prefix)
        except OSError as e:
            if e.errno not in _ABSENT:
                raise
            return False, hides
        if not stat.S_ISDIR(status.st_mode):
            return False, True
        hides = hides or is_opaque(lower + prefix)
    return True, hides


def visible(lowers: Sequence[str]) -> tuple[str, ...]:
    """Leave out the lowers below one that is opaque as a whole: the kernel merges roots whatever they say."""
    if len(lowers) > 1:
        for index, lower in enumerate(lowers[:-1]):
            if is_opaque(lower):
                return tuple(lowers[: index + 1])
    return tuple(lowers)


def is_whiteout(status: os.stat_result) -> bool:
    """Say whether an entry hides what lower directories have at its place."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(directory: str | int) -> bool:
    """Say whether a directory, by path or descriptor, hides what lower ones have in it."""
    try:
        names = os.listxattr(directory)
        return any(name in names and os.getxattr(directory, name) == b"y" for name in _OPAQUE)
    except OSError as e:
        if e.errno in (errno.EOPNOTSUPP, errno.ENODATA, errno.ENOENT, errno.EACCES, errno.EPERM):
            return False
        raise


def _open_below(lower: str, path: str, resolve: int = _RESOLVE_NO_SYMLINKS) -> int:
    top = os.open(lower, os.O_PATH | os.O_DIRECTORY)
    try:
        fd = open_in_root(top, path or ".", os.O_PATH, resolve=resolve)
    finally:
        os.close(top)
    if is_whiteout(os.fstat(fd)):
        os.close(fd)
        raise _absent(path)
    return fd


def _absent(path: str) -> SyscallError:
    return SyscallError(errno.ENOENT, "open", path, detail="in the merged tree of an image")
