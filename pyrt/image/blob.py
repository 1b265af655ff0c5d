"""Blobs as chunks of bytes: pieces of open files, the stream that verifies, and the copy that the kernel makes."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from pyrt.errors import DigestMismatch, PyrtError, SizeMismatch, SyscallError
from pyrt.oci.descriptor import Descriptor

__all__ = [
    "CHUNK_BYTES",
    "LocalBlob",
    "OnBytes",
    "Piece",
    "as_system_call",
    "check_size",
    "spool",
    "verified",
    "write_all",
    "write_chunks",
]

CHUNK_BYTES = 1 << 20
_KERNEL_BYTES = 16 << 20  # at once, and then Ctrl-C and the progress have their turn
# Another file system (EXDEV), a pipe (EINVAL), a file that is only appended to (EBADF, and EINVAL for sendfile).
_NOT_THIS_WAY = frozenset({errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF})

OnBytes = Callable[[int], object]


@contextmanager
def as_system_call(op: str, path: str) -> Iterator[None]:
    """Turn what the system refuses into a SyscallError about `path`."""
    try:
        yield
    except PyrtError:
        raise
    except OSError as e:
        raise SyscallError(e.errno or errno.EIO, op, path) from e


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an open file that somebody else closes. It has no position: threads may read it at once."""

    fd: int
    offset_bytes: int
    size_bytes: int
    path: str

    def chunks(self) -> Iterator[bytes]:
        """Give the bytes from the first to the last. Raises SizeMismatch where the file ends before them."""
        done = 0
        while done < self.size_bytes:
            chunk = self.read(done, CHUNK_BYTES)
            if not chunk:
                raise SizeMismatch(f"{self.path} ends after {done} of {self.size_bytes} bytes")
            done += len(chunk)
            yield chunk

    def read(self, position_bytes: int, limit_bytes: int) -> bytes:
        """Give up to `limit_bytes` from a position; fewer at the end. Raises SyscallError."""
        length = max(0, min(limit_bytes, self.size_bytes - position_bytes))
        with as_system_call("read", self.path):
            return os.pread(self.fd, length, self.offset_bytes + position_bytes)

    def read_all(self) -> bytes:
        """Give all bytes: of a small piece. Raises SizeMismatch where the file ends before them."""
        return b"".join(self.chunks())


class LocalBlob:
    """A blob in a file of this machine whose bytes were verified when they came and have not been written since.

    It is an iterator of chunks as every blob, and a target that writes to a file may let the kernel do it (`copy_to`),
    which saves reading it here and, where the file system shares extents, writing it at all.
    """

    def __init__(self, piece: Piece, on_bytes: OnBytes | None = None) -> None:
        self._piece = piece
        self._chunks = piece.chunks()
        self._on_bytes: OnBytes = on_bytes or (lambda count: None)

    def observed(self, on_bytes: OnBytes) -> LocalBlob:
        """Give the same blob, whose bytes are counted as they go."""
        return LocalBlob(self._piece, on_bytes)

    def copy_to(self, fd: int, path: str) -> int:
        """Write all of it at the descriptor's position; give the bytes. Raises SyscallError, SizeMismatch."""
        piece, done = self._piece, 0
        ways: list[Callable[[int, int, int, int], int]] = [_plainly, _send, os.copy_file_range]
        while done < piece.size_bytes:
            length = min(_KERNEL_BYTES, piece.size_bytes - done)
            try:
                count = ways[-1](piece.fd, fd, length, piece.offset_bytes + done)
            except OSError as e:
                if len(ways) == 1 or e.errno not in _NOT_THIS_WAY:
                    raise SyscallError(e.errno or errno.EIO, "write", path) from e
                ways.pop()
                continue
            if count == 0:
                raise SizeMismatch(f"{piece.path} ends after {done} of {piece.size_bytes} bytes")
            done += count
            self._on_bytes(count)
        return done

    def __iter__(self) -> LocalBlob:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
        self._on_bytes(len(chunk))
        return chunk


def _send(source: int, target: int, count: int, offset: int) -> int:
    return os.sendfile(target, source, offset, count)


def _plainly(source: int, target: int, count: int, offset: int) -> int:
    return os.write(target, os.pread(source, min(count, CHUNK_BYTES), offset))


def verified(chunks: Iterable[bytes], descriptor: Descriptor, where: str) -> Iterator[bytes]:
    """Pass chunks on; before the end raise SizeMismatch or DigestMismatch where they are not what was described."""
    hasher, left = descriptor.digest.hasher(), descriptor.size
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise SizeMismatch(f"{where}: blob {descriptor.digest} is longer than its {descriptor.size} bytes")
        hasher.update(chunk)
        yield chunk
    if left:
        raise SizeMismatch(f"{where}: blob {descriptor.digest} lacks {left} of its {descriptor.size} bytes")
    if hasher.hexdigest() != descriptor.digest.hex:
        found = f"{descriptor.digest.algorithm}:{hasher.hexdigest()}"
        raise DigestMismatch(f"{where}: the content of blob {descriptor.digest} has the digest {found}")


def check_size(piece: Piece, descriptor: Descriptor, where: str) -> None:
    """Raise SizeMismatch where a file has not the size that was described: so that nothing of it need be read."""
    if piece.size_bytes != descriptor.size:
        sizes = f"{piece.size_bytes} bytes, and not the {descriptor.size} of its descriptor"
        raise SizeMismatch(f"{where}: blob {descriptor.digest} has {sizes}")


def write_chunks(chunks: Iterable[bytes], fd: int, descriptor: Descriptor, path: str) -> None:
    """Write a blob at the descriptor's position. Raises SyscallError, SizeMismatch and what the chunks raise."""
    if isinstance(chunks, LocalBlob):
        done = chunks.copy_to(fd, path)
    else:
        done = 0
        for chunk in chunks:
            done += len(chunk)
            if done > descriptor.size:
                break
            write_all(fd, chunk, path)
    if done != descriptor.size:
        raise SizeMismatch(f"{path}: blob {descriptor.digest} came with another size than its {descriptor.size} bytes")


def write_all(fd: int, content: bytes, path: str) -> None:
    """Write all of some bytes. Raises SyscallError."""
    view = memoryview(content)
    with as_system_call("write", path):
        while view:
            view = view[os.write(fd, view) :]


def spool(chunks: Iterable[bytes], name: str, directory: str | None, stack: ExitStack) -> Piece:
    """Write chunks to a file without a name, in `directory` or where temporary files are; it goes with the stack."""
    import tempfile  # which brings more than all other media need

    with ExitStack() as opening:
        with as_system_call("open", directory or tempfile.gettempdir()):
            file = opening.enter_context(tempfile.TemporaryFile(dir=directory, buffering=0))
        stack.push(opening.pop_all())
    size = 0
    for chunk in chunks:
        write_all(file.fileno(), chunk, name)
        size += len(chunk)
    return Piece(file.fileno(), 0, size, name)
