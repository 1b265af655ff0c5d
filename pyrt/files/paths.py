"""Paths of a container, and where they lead."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from pathlib import PurePosixPath

from pyrt.errors import InvalidArgument, SyscallError
from pyrt.layer import Root

__all__ = ["ABSENT", "ContainerPath", "canonical", "located", "lookup", "names_directory", "text_of"]

ContainerPath = str | PurePosixPath
ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})
MAX_LINKS = 40  # as the kernel's own limit


def text_of(path: ContainerPath, argument: str = "path") -> str:
    """Take a path of a container: absolute, or relative to its root. Raises InvalidArgument, TypeError."""
    text = os.fspath(path)
    if not isinstance(text, str):
        raise TypeError(f"{argument} must be a str or a PurePosixPath, not {type(path).__name__}")
    if "\0" in text or not text:
        raise InvalidArgument("it is empty" if not text else f"{text!r} contains a NUL character", argument=argument)
    try:
        os.fsencode(text)
    except UnicodeEncodeError as e:
        raise InvalidArgument(f"{text!r} cannot be encoded", argument=argument) from e
    return text


def lookup(root: Root, path: str, *, follow: bool = True, links: bool = True) -> os.stat_result | None:
    """Give the status of what is at a path, None where nothing is. Raises SyscallError."""
    try:
        return root.stat(path, follow=follow, links=links)
    except SyscallError as e:
        if e.errno not in ABSENT:
            raise
        return None


def canonical(root: Root, path: str, *, follow: bool = True) -> str:
    """Give the absolute path without links, `.` and `..` that leads to the same place.

    The last component need not be there; `follow` follows a link in its place, also one that leads nowhere. Raises
    SyscallError where a directory on the way is missing.
    """
    rest, at, links = [name for name in path.split("/") if name not in ("", ".")][::-1], "", 0
    while rest:
        name = rest.pop()
        if name == "..":
            at = at.rpartition("/")[0]
            continue
        found = lookup(root, f"{at}/{name}", follow=False)
        if found is None and rest:
            raise SyscallError(errno.ENOENT, "open", f"{at}/{name}")
        if found is None or not stat.S_ISLNK(found.st_mode) or not (rest or follow):
            if rest and found is not None and not stat.S_ISDIR(found.st_mode):
                raise SyscallError(errno.ENOTDIR, "open", f"{at}/{name}")
            at = f"{at}/{name}"
            continue
        links += 1
        if links > MAX_LINKS:
            raise SyscallError(errno.ELOOP, "open", path)
        target = root.readlink(f"{at}/{name}")
        at = "" if target.startswith("/") else at
        rest += [part for part in target.split("/") if part not in ("", ".")][::-1]
    return at or "/"


def located(root: Root, path: str, *, follow: bool) -> tuple[str, os.stat_result] | None:
    """Find what is at a path: its place without links on the way, and its status; None where there is nothing.

    A link at its end is followed where `follow` says so, or a slash or a dot is behind it.
    """
    try:
        real = canonical(root, path, follow=follow or names_directory(path))
        status = lookup(root, real, follow=False)
    except SyscallError as e:
        if e.errno not in ABSENT:
            raise
        status = None
    return None if status is None else (real, status)


def names_directory(path: str) -> bool:
    """Say whether a path can be nothing but a directory's."""
    return path.endswith("/") or posixpath.basename(path) in (".", "..")
