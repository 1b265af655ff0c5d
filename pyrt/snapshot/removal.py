"""Removal of a directory with all that is in it, however deep that goes and whatever its modes are."""

from __future__ import annotations

import errno
import os

from pyrt.errors import SyscallError

__all__ = ["remove_tree"]

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def remove_tree(path: str) -> None:
    """Remove the directory `path`, closed ones in it too; one that is not there is no error. Raises SyscallError.

    No link is followed and no mount is entered. Where that fails half-way, some of what was deep may have come up.
    """
    try:
        top = _open(path)
        try:
            _Removal(top).run()
        finally:
            os.close(top)
        os.rmdir(path)
    except FileNotFoundError:
        return
    except OSError as e:
        raise SyscallError(e.errno or errno.EIO, "remove", path, detail=str(e.filename or "")) from e


class _Removal:
    """A directory that is not empty is moved to the top, so that neither stack nor descriptors grow with the depth."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._prefix = f".{os.urandom(8).hex()}-"
        self._waiting: list[str] = []
        self._moved = 0

    def run(self) -> None:
        self._empty(self._top)
        while self._waiting:
            name = self._waiting.pop()
            directory = _open(name, self._top)
            try:
                self._empty(directory)
            finally:
                os.close(directory)
            os.rmdir(name, dir_fd=self._top)

    def _empty(self, directory: int) -> None:
        for name in os.listdir(directory):
            try:
                os.unlink(name, dir_fd=directory)
            except IsADirectoryError:
                self._directory(directory, name)

    def _directory(self, parent: int, name: str) -> None:
        try:
            os.rmdir(name, dir_fd=parent)
        except OSError as e:
            if e.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            if parent != self._top:
                os.close(_open(name, parent))  # a move changes what `..` is, so it must be open to us
                self._moved += 1
                above = f"{self._prefix}{self._moved}"
                os.rename(name, above, src_dir_fd=parent, dst_dir_fd=self._top)
                name = above
            self._waiting.append(name)


def _open(name: str, parent: int | None = None) -> int:
    """Open a directory with all rights that its owner can have."""
    try:
        fd = os.open(name, _FLAGS, dir_fd=parent)
    except PermissionError:  # it is a directory, for a link would have been ENOTDIR
        os.chmod(name, 0o700, dir_fd=parent)
        fd = os.open(name, _FLAGS, dir_fd=parent)
    try:
        if os.geteuid() != 0 and os.fstat(fd).st_mode & 0o700 != 0o700:
            os.chmod(fd, 0o700)
    except BaseException:
        os.close(fd)
        raise
    return fd
