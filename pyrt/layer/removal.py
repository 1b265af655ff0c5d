"""Removal of a directory with all that is in it, however deep that goes and whatever its modes are.

No link is followed, also not one that somebody puts in a directory's place meanwhile, and no mount is entered.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice

from pyrt.errors import SyscallError

__all__ = ["remove_child", "remove_tree", "told"]

_BATCH = 1000


def remove_tree(directory: str) -> None:
    """Remove the directory at an absolute path, closed ones in it too; one that is not there is no error.

    Raises SyscallError.
    """
    with suppress(FileNotFoundError):
        parent, name = os.path.split(os.path.normpath(directory))
        fd = os.open(parent, os.O_PATH | os.O_DIRECTORY)
        try:
            if os.path.lexists(directory):
                remove_child(fd, name)
        finally:
            os.close(fd)


def remove_child(parent: int, name: str) -> None:
    """Remove a directory in another with all that is in it.

    Directories inside go up to the top one first, so that no depth needs more than two descriptors; whatever stops
    this, all that is left is below `name`. Raises SyscallError.
    """
    with told("remove", name):
        if _remove_empty(parent, name):
            return
        top = _enter(parent, name)
        try:
            while entries := _some(top):
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if not _remove_empty(top, entry.name):
                            _flatten(top, entry.name)
                    else:
                        _unlink(top, entry.name)
        finally:
            os.close(top)
        os.rmdir(name, dir_fd=parent)


def _flatten(top: int, name: str) -> None:
    """Remove a directory of the top one; those that are in it move up to where it was."""
    with told("remove", name):
        inner = _enter(top, name)
        try:
            while entries := _some(inner):
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        os.close(_enter(inner, entry.name))
                        os.rename(entry.name, f".prt-{os.urandom(8).hex()}", src_dir_fd=inner, dst_dir_fd=top)
                    else:
                        _unlink(inner, entry.name)
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=top)


def _remove_empty(parent: int, name: str) -> bool:
    """Remove a directory if it is empty, and say whether it was; one that something is mounted on raises EBUSY."""
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _enter(parent: int, name: str) -> int:
    """Open a directory to be emptied or moved: for who is not root, its owner may have closed it to itself."""
    if os.geteuid() != 0:
        fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            with suppress(PermissionError):
                os.chmod(f"/proc/self/fd/{fd}", 0o700)
        finally:
            os.close(fd)
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)


def _unlink(parent: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except OSError as error:
        raise SyscallError(error.errno or errno.EIO, "remove", name) from error


def _some(directory: int) -> list[os.DirEntry[str]]:
    with os.scandir(directory) as entries:
        return list(islice(entries, _BATCH))


@contextmanager
def told(operation: str, name: str) -> Iterator[None]:
    """Raise SyscallError, which says what was done to what, for an OSError within."""
    try:
        yield
    except OSError as error:
        if isinstance(error, SyscallError):
            raise
        raise SyscallError(error.errno or errno.EIO, operation, name) from error
