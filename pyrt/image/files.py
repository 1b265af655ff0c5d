"""Files by their path below a top, whatever holds them: a directory, or the members of an archive.

No path leads out: not by its own steps, and not by symbolic links.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from pyrt._native.path import open_in_root
from pyrt.errors import ImageNotFound, InvalidSpec, NotFound, SyscallError
from pyrt.image.blob import Piece

__all__ = ["MAX_DOCUMENT_BYTES", "DirectoryFiles", "Files", "read_small"]

MAX_DOCUMENT_BYTES = 4 << 20
_ABSENT = (errno.ENOENT, errno.ENOTDIR)


class Files(Protocol):
    """Regular files by their path. Any number of threads may read them at once."""

    @property
    def name(self) -> str:
        """What messages call all of them."""

    def open(self, path: str) -> AbstractContextManager[Piece]:
        """Open a file. Raises NotFound, and InvalidSpec for what is no regular file."""

    def close(self) -> None:
        """Free what is held. A second call does nothing."""


class DirectoryFiles:
    """The files of a directory. A symbolic link in it leads to what it names below the directory, or nowhere."""

    def __init__(self, directory: str, name: str) -> None:
        self.name = name
        self._directory = directory
        try:
            self._fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            raise ImageNotFound(f"{name}: {directory} does not exist") from None
        except NotADirectoryError:
            raise ImageNotFound(
                f"{name}: {directory} is no directory; is it an oci-archive or docker-archive?"
            ) from None
        except OSError as e:
            raise SyscallError(e.errno or errno.EIO, "open", directory) from e

    @contextmanager
    def open(self, path: str) -> Iterator[Piece]:
        """Open a file (see Files)."""
        shown = f"{self._directory}/{path}"
        try:  # without O_NONBLOCK a fifo would hold us up
            fd = open_in_root(self._fd, path, os.O_RDONLY | os.O_NONBLOCK)
        except SyscallError as e:
            if e.errno in _ABSENT:
                raise NotFound(f"{shown} does not exist") from None
            raise
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise InvalidSpec(f"{shown} is no regular file")
            yield Piece(fd, 0, status.st_size, shown)
        finally:
            os.close(fd)

    def fileno(self) -> int:
        """Give the descriptor of the directory, which stays this object's."""
        return self._fd

    def close(self) -> None:
        """Close the directory (see Files)."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def read_small(files: Files, path: str, limit_bytes: int = MAX_DOCUMENT_BYTES) -> bytes:
    """Read a document. Raises NotFound, InvalidSpec where it is too large."""
    with files.open(path) as piece:
        if piece.size_bytes > limit_bytes:
            raise InvalidSpec(f"{piece.path} has {piece.size_bytes} bytes; the limit is {limit_bytes}")
        return piece.read_all()
