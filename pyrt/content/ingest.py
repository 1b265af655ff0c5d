"""One blob on its way into a store.

Takes its bytes in pieces of any size, gives its digest once they are all there and are what they were announced to be.
Until then they lie in a file without a name among the blobs, locked, which goes when the ingest ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, Self

from pyrt._native.flock import FileLock
from pyrt.errors import DigestMismatch, SizeMismatch, SyscallError, WrongState
from pyrt.oci.digest import Digest

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["Ingest", "Place"]

_FICLONE = 0x40049409  # ioctl_ficlone(2): _IOW(0x94, 9, int)
_CHUNK_BYTES = 1 << 20
_MODE = 0o400  # for the owner alone, since an image may hold secrets; and not even the owner is to write it again


class Place(Protocol):
    """Where an ingest puts its file at the end."""

    def install(self, path: str, digest: Digest, size_bytes: int) -> None:
        """Give the file at `path` its name among the blobs, at once. Raises SyscallError."""


class Ingest:
    """The bytes of a blob as they come: write, then commit. Leaving its `with` block without commit leaves nothing.

    `is_complete`: the store has the blob already, so there is nothing to do; writing raises WrongState.
    One thread at a time. In a forked child it counts as closed.
    """

    def __init__(
        self, place: Place, digest: Digest | None, size_bytes: int | None, lock: FileLock | None, *, durable: bool
    ) -> None:
        self._place = place
        self._digest = digest
        self._size_bytes = size_bytes
        self._lock = lock
        self._durable = durable
        self.is_complete = lock is None
        self._offset_bytes = 0
        if lock is not None:
            self.restart()

    @property
    def offset_bytes(self) -> int:
        """How many bytes have come, from the start: where a broken download goes on."""
        return self._offset_bytes

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take the next bytes.

        Raises SizeMismatch, before any of them is written, where they go beyond the announced size, and SyscallError
        (ENOSPC: the disk is full); then the offset stays as it was, and writing may be tried again.
        """
        fd = self._fileno()
        view = memoryview(chunk).cast("B")
        end = self._offset_bytes + len(view)
        self._check_room(end)
        with self._failing("write"):
            done = 0
            while done < len(view):
                done += os.pwrite(fd, view[done:], self._offset_bytes + done)
        self._hash.update(view)
        self._offset_bytes = end

    def adopt(self, fd: int) -> None:
        """Take all bytes of an open file, from its start, in place of those that came before.

        Blocks are shared where the file system can. A pipe is read to its end. Raises as `write` does.
        """
        self.restart()
        if stat.S_ISREG(os.fstat(fd).st_mode):
            self._check_room(os.fstat(fd).st_size)
            if self._clone(fd):
                return
        buffer = memoryview(bytearray(_CHUNK_BYTES))
        is_seekable = stat.S_ISREG(os.fstat(fd).st_mode)
        while count := os.preadv(fd, [buffer], self._offset_bytes) if is_seekable else os.readv(fd, [buffer]):
            self.write(buffer[:count])

    def restart(self) -> None:
        """Forget what has come, for a download that cannot be resumed."""
        fd = self._fileno()
        self._offset_bytes = 0
        self._hash: _Hash = (self._digest or Digest.of(b"")).hasher()
        with self._failing("ftruncate"):
            cut(fd, 0)

    def commit(self) -> Digest:
        """Verify what has come and give it its name; give the digest.

        Raises SizeMismatch and DigestMismatch, after which `restart` may begin it again, and SyscallError.
        """
        if self.is_complete and self._digest is not None:
            return self._digest
        fd = self._fileno()
        found = self._verified()
        assert self._lock is not None
        with self._failing("commit"):
            cut(fd, self._offset_bytes)  # a write that failed may have left some of its bytes
            if self._durable:
                os.fdatasync(fd)
        self._place.install(self._lock.path, found, self._offset_bytes)
        with self._failing("fchmod"):
            os.fchmod(fd, _MODE)  # not before: what is left of an ingest has to be opened for writing
        self._digest = found
        self.is_complete = True
        self._lock.close()
        return found

    def close(self) -> None:
        """End the ingest, and remove what is not committed. A second call does nothing."""
        if self._lock is not None and self._lock.is_held:
            self._lock.unlink()

    def _verified(self) -> Digest:
        wanted = self._digest
        if self._size_bytes is not None and self._offset_bytes != self._size_bytes:
            raise SizeMismatch(f"{wanted or 'a blob'} is {self._offset_bytes} bytes long, not {self._size_bytes}")
        found = Digest(wanted.algorithm if wanted else "sha256", self._hash.hexdigest())
        if wanted is not None and found != wanted:
            raise DigestMismatch(f"the content of {wanted} has the digest {found}")
        return found

    def _check_room(self, end_bytes: int) -> None:
        if self._size_bytes is not None and end_bytes > self._size_bytes:
            raise SizeMismatch(f"{self._digest or 'a blob'} is longer than its {self._size_bytes} bytes")

    def _clone(self, source: int) -> bool:
        """Share the blocks of a file; hash the copy, which nobody else can change."""
        fd = self._fileno()
        try:
            fcntl.ioctl(fd, _FICLONE, source)
        except OSError:
            return False
        buffer = memoryview(bytearray(_CHUNK_BYTES))
        while count := os.preadv(fd, [buffer], self._offset_bytes):
            self._offset_bytes += count
            self._check_room(self._offset_bytes)
            self._hash.update(buffer[:count])
        return True

    def _fileno(self) -> int:
        if self._lock is None or not self._lock.is_held:
            have = "complete" if self.is_complete else "closed"
            raise WrongState(f"the ingest of {self._digest or 'a blob'} is {have}", have=have, want="open")
        return self._lock.fileno()

    @contextmanager
    def _failing(self, op: str) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            assert self._lock is not None
            raise SyscallError(e.errno or errno.EIO, op, self._lock.path) from e

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def cut(fd: int, size_bytes: int) -> None:
    """Take away what a file has beyond a size.

    Never in vain: ext4 writes a file whole to the disk when it is closed after any truncation to nothing (auto_da_alloc
    in ext4(5)), also where there was nothing.
    """
    if os.fstat(fd).st_size > size_bytes:
        os.ftruncate(fd, size_bytes)
