"""The content store in a directory.

Takes the directory, which is made with the first blob; keeps each blob as `blobs/<algorithm>/<hex>`, as an OCI image
layout does, and what is on its way below `ingest`. All of it is for its owner alone. A file of another kind or name
among the blobs is not seen, and a symbolic link never followed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Set
from contextlib import suppress
from typing import BinaryIO

from pyrt._native.flock import FileLock
from pyrt.content.ingest import Ingest
from pyrt.content.store import MAX_READ_BYTES
from pyrt.errors import BlobNotFound, DigestMismatch, InvalidDigest, SizeMismatch, SyscallError
from pyrt.oci.digest import Digest

__all__ = ["LocalStore"]

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MODE = 0o700


class LocalStore:
    """Blobs below `directory` (see ContentStore).

    `durable`: a blob is on the disk, not only on its way to it, before it gets its name, so that a failure of power
    leaves no damaged one.
    """

    def __init__(self, directory: str | os.PathLike[str], *, durable: bool = True) -> None:
        self._directory = os.path.abspath(directory)
        self._durable = durable

    @property
    def directory(self) -> str:
        """Where the blobs are."""
        return self._directory

    def size(self, digest: Digest) -> int:
        """Give the size of a blob in bytes. Raises BlobNotFound."""
        if (size := self._size(digest)) is None:
            raise self._missing(digest)
        return size

    def has(self, digest: Digest) -> bool:
        """Whether there is such a blob."""
        return self._size(digest) is not None

    def path(self, digest: Digest) -> str:
        """Give where a blob lies, for reading. Raises BlobNotFound."""
        self.size(digest)
        return self._path(digest)

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob for reading. Raises BlobNotFound."""
        path = self._path(digest)
        try:
            fd = os.open(path, _OPEN)
        except OSError as e:
            if e.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
                raise self._missing(digest) from e
            raise SyscallError(e.errno or errno.EIO, "open", path) from e
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise self._missing(digest)
        return os.fdopen(fd, "rb")

    def read(self, digest: Digest, limit_bytes: int = MAX_READ_BYTES) -> bytes:
        """Give the bytes of a small blob, verified again. Raises BlobNotFound, SizeMismatch and DigestMismatch."""
        with self.open(digest) as file:
            raw = file.read(limit_bytes + 1)
        if len(raw) > limit_bytes:
            raise SizeMismatch(f"{digest} is longer than {limit_bytes} bytes, the most that is read at once")
        hasher = digest.hasher()
        hasher.update(raw)
        if hasher.hexdigest() != digest.hex:
            raise DigestMismatch(f"{self._path(digest)} is damaged: delete it, and it will be fetched again")
        return raw

    def ingest(
        self, digest: Digest | None, size_bytes: int | None = None, *, cancelled: Callable[[], bool] | None = None
    ) -> Ingest:
        """Begin to take a blob (see ContentStore). One of another size than `size_bytes` is damaged, and replaced."""
        if digest is not None and self._is_complete(digest, size_bytes):
            return Ingest(self, digest, size_bytes, None, durable=self._durable)
        coming = os.path.join(self._directory, "ingest")
        self._make(coming)
        name = os.urandom(16).hex() if digest is None else f"{digest.algorithm}-{digest.hex}"
        lock = FileLock(os.path.join(coming, name), cancelled=cancelled)
        try:
            if digest is None or not self._is_complete(digest, size_bytes):
                return Ingest(self, digest, size_bytes, lock, durable=self._durable)
        except BaseException:
            lock.unlink()
            raise
        lock.unlink()
        return Ingest(self, digest, size_bytes, None, durable=self._durable)

    def install(self, path: str, digest: Digest, size_bytes: int) -> None:
        """Give the verified file at `path` its name (see Place)."""
        target = self._path(digest)
        self._make(os.path.dirname(target))
        try:
            if self._size(digest) == size_bytes:
                os.unlink(path)
            else:
                os.rename(path, target)
        except OSError as e:
            raise SyscallError(e.errno or errno.EIO, "rename", target) from e

    def add(self, raw: bytes) -> Digest:
        """Keep some bytes; give their digest. Raises SyscallError."""
        with self.ingest(Digest.of(raw), len(raw)) as ingest:
            if not ingest.is_complete:
                ingest.write(raw)
            return ingest.commit()

    def delete(self, digest: Digest) -> None:
        """Remove a blob; one that is not there is no error. Raises SyscallError."""
        path = self._path(digest)
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as e:
            raise SyscallError(e.errno or errno.EIO, "unlink", path) from e

    def walk(self) -> Iterator[tuple[Digest, int]]:
        """Give the digest and the size in bytes of each blob, in no order."""
        blobs = os.path.join(self._directory, "blobs")
        for algorithm in self._entries(blobs):
            if not algorithm.is_dir(follow_symlinks=False):
                continue
            for entry in self._entries(algorithm.path):
                with suppress(FileNotFoundError, InvalidDigest):
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        yield Digest.parse(f"{algorithm.name}:{entry.name}"), status.st_size

    def collect(self, live: Set[Digest]) -> int:
        """Delete all blobs but the `live` ones; give how many bytes that freed. Raises SyscallError."""
        freed = 0
        for digest, size in self.walk():
            if digest not in live:
                self.delete(digest)
                freed += size
        return freed

    def clean(self) -> int:
        """Remove what killed processes left behind of their ingests; give how many bytes that freed."""
        freed = 0
        for entry in self._entries(os.path.join(self._directory, "ingest")):
            with suppress(SyscallError):  # gone already, or nothing of ours
                if lock := FileLock.attempt(entry.path, create=False):
                    size = os.fstat(lock.fileno()).st_size
                    lock.unlink()
                    freed += size
        return freed

    def _is_complete(self, digest: Digest, size_bytes: int | None) -> bool:
        size = self._size(digest)
        return size is not None and size_bytes in (None, size)

    def _size(self, digest: Digest) -> int | None:
        path = self._path(digest)
        try:
            status = os.stat(path, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as e:
            raise SyscallError(e.errno or errno.EIO, "stat", path) from e
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def _path(self, digest: Digest) -> str:
        return os.path.join(self._directory, "blobs", digest.algorithm, digest.hex)

    def _missing(self, digest: Digest) -> BlobNotFound:
        return BlobNotFound(f"no blob {digest} in {self._directory}")

    def _entries(self, directory: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(directory) as entries:
                return list(entries)
        except FileNotFoundError:
            return []
        except OSError as e:
            raise SyscallError(e.errno or errno.EIO, "scandir", directory) from e

    def _make(self, directory: str) -> None:
        """Make a directory, and those above it, for the owner alone; os.makedirs would open those to all."""
        try:
            os.mkdir(directory, _MODE)
        except FileExistsError:
            return
        except FileNotFoundError:
            self._make(os.path.dirname(directory))
            self._make(directory)
        except OSError as e:
            raise SyscallError(e.errno or errno.EIO, "mkdir", directory) from e
