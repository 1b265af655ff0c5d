"""Archives of images as files that are read in place, wherever they come from.

A tar that lies in a file is read there. One that is compressed, or comes through a pipe, is first written to a file
without a name, which ends with its descriptor.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

from pyrt.errors import ImageNotFound, InvalidSpec, NotFound, SyscallError
from pyrt.image.blob import CHUNK_BYTES, Piece, spool
from pyrt.image.tar_index import index_members, resolve

__all__ = ["ArchiveFiles", "compression_of"]

MAX_SPOOL_BYTES = 256 << 30  # an archive that inflates to more is a bomb
_MAGIC_BYTES = 10
_MAGIC = {
    "gzip": re.compile(rb"\x1f\x8b\x08"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
    "xz": re.compile(rb"\xfd7zXZ\0"),
    "bzip2": re.compile(rb"BZh[1-9]1AY&SY"),
}


class ArchiveFiles:
    """The members of a tar archive as Files. Close it."""

    def __init__(self, source: str | os.PathLike[str] | BinaryIO, name: str, *, spool_directory: str | None = None):
        """Open an archive: a path, or a file to be read from its position on.

        Where it has to be written down first, that is done in `spool_directory` (by default TMPDIR). Raises
        ImageNotFound, InvalidSpec, IntegrityError, SyscallError.
        """
        self.name = name
        with ExitStack() as stack:
            file = source if not isinstance(source, str | os.PathLike) else stack.enter_context(_opened(source, name))
            piece = _in_place(file, name, stack)
            if piece is None or compression_of(piece):
                from pyrt.layer import decompress  # which brings libraries that other archives need not

                chunks = iter(lambda: file.read(CHUNK_BYTES), b"") if piece is None else piece.chunks()
                piece = spool(_bounded(decompress(chunks), name), name, spool_directory, stack)
            self._piece = piece
            self._members = index_members(piece)
            self._closing = stack.pop_all()

    @contextmanager
    def open(self, path: str) -> Iterator[Piece]:
        """Open a member (see Files)."""
        member = resolve(self._members, path)
        if member is None:
            what = "leads nowhere" if path in self._members else "is not there"
            raise NotFound(f"{self._piece.path}: {path} {what}")
        offset = self._piece.offset_bytes + member.offset_bytes
        yield Piece(self._piece.fd, offset, member.size_bytes, f"{self._piece.path}: {path}")

    def close(self) -> None:
        """Close the archive (see Files)."""
        self._closing.close()


def compression_of(piece: Piece) -> str:
    """Say by its first bytes how a file is compressed: "" for not at all."""
    head = piece.read(0, _MAGIC_BYTES)
    return next((kind for kind, magic in _MAGIC.items() if magic.match(head)), "")


def _opened(path: str | os.PathLike[str], name: str) -> BinaryIO:
    try:
        return open(path, "rb", buffering=0)
    except (FileNotFoundError, NotADirectoryError):
        raise ImageNotFound(f"{name}: {os.fspath(path)} does not exist") from None
    except IsADirectoryError:
        raise ImageNotFound(f"{name}: {os.fspath(path)} is a directory; is it oci:{os.fspath(path)}?") from None
    except OSError as e:
        raise SyscallError(e.errno or errno.EIO, "open", os.fspath(path)) from e


def _in_place(file: BinaryIO, name: str, stack: ExitStack) -> Piece | None:
    """Give the rest of a regular file, by a descriptor of our own; None for a pipe and what is no file at all."""
    try:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return None
        position, fd = file.tell(), os.dup(file.fileno())
    except OSError:  # io.UnsupportedOperation: it has no descriptor
        return None
    stack.callback(os.close, fd)
    return Piece(fd, position, max(0, status.st_size - position), name.partition(":")[2] or name)


def _bounded(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > MAX_SPOOL_BYTES:
            raise InvalidSpec(f"{name}: it inflates to more than {MAX_SPOOL_BYTES >> 30} GiB")
        yield chunk
