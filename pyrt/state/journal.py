"""Lines that are appended to a file which is rotated: logs of containers, and events.

The newest lines are in `path`, older ones in `path.1` and so on, or `path.2.gz`; they may be compressed. A writer
renames from the oldest on, then makes a new file. A reader has no lock: a file only ever gets a higher number, so who
opens them upwards passes none by, and one that has gone on meanwhile is met again.
"""

from __future__ import annotations

import errno
import os
import time
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Self

from pyrt.errors import SyscallError

if TYPE_CHECKING:
    from gzip import GzipFile

__all__ = ["Journal", "JournalFile"]

BLOCK_BYTES = 64 << 10
GZIP_MAGIC = b"\x1f\x8b"
LONGEST_LINE_BYTES = 1 << 20
_MISSING_BEFORE_END = 3  # a rotation leaves one number out at a time
_TRIES, _PAUSE_SECONDS = 200, 0.001
_LONGEST_HEADER_BYTES = 128
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class JournalFile:
    """One file of a journal, open for reading; `size_bytes` is its size when it was opened."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        beginning = os.pread(fd, _LONGEST_HEADER_BYTES, 0)
        self.compressed = beginning.startswith(GZIP_MAGIC)
        found = os.fstat(fd)
        self.size_bytes = found.st_size
        self._identity = (found.st_dev, found.st_ino)
        self._original = _gzip_name(beginning) if self.compressed else None
        self._offset = 0
        self._rest = b""
        self._is_in_long_line = False
        self._plain: GzipFile | None = None

    @classmethod
    def open(cls, path: str) -> Self | None:
        """Open a file, or the one with .gz; None where there is neither. Raises SyscallError."""
        for name in (path, f"{path}.gz", path):  # again: it may just have been renamed to this
            try:
                return cls(os.open(name, _FLAGS))
            except FileNotFoundError:
                continue
            except OSError as e:
                raise SyscallError(e.errno or errno.EIO, "open", name) from e
        return None

    def skip(self, offset: int) -> None:
        """Have `blocks` begin there, which is the beginning of a line."""
        self._offset = offset

    def blocks(self, end: int | None = None) -> Iterator[bytes]:
        """Give what has not been given so far, up to `end` or the end there is now, in blocks of whole lines.

        A line without an end waits for it; one of more than a megabyte is left out, and so is what a damaged file has.
        """
        while chunk := self._read(BLOCK_BYTES if end is None else min(BLOCK_BYTES, end - self._offset)):
            self._offset += len(chunk)
            if self._is_in_long_line:
                _, newline, chunk = chunk.partition(b"\n")
                self._is_in_long_line = not newline
            cut = chunk.rfind(b"\n") + 1
            block, self._rest = (self._rest + chunk[:cut], chunk[cut:]) if cut else (b"", self._rest + chunk)
            if len(self._rest) > LONGEST_LINE_BYTES:
                self._rest, self._is_in_long_line = b"", True
            if block:
                yield block

    def backwards(self) -> Iterator[tuple[int, bytes]]:
        """Give the blocks of whole lines of a file that is not compressed from the end on, with the offset of each."""
        end, size = self.size_bytes, BLOCK_BYTES
        while end > 0:
            start = max(0, end - size)
            block = os.pread(self.fd, end - start, start)
            first = block.find(b"\n") + 1 if start else 0
            cut = block.rfind(b"\n") + 1
            if start and first == cut and size <= LONGEST_LINE_BYTES:  # the end of one line at most
                size *= 2
                continue
            if first < cut:
                yield start + first, block[first:cut]
            end, size = start + first if first < cut else start, BLOCK_BYTES

    def is_same(self, other: JournalFile) -> bool:
        """Say whether two are the same file, also where one of them was compressed: see mark."""
        if self._identity == other._identity:
            return True
        return self.compressed != other.compressed and (self._original or self.mark()) == (
            other._original or other.mark()
        )

    def is_beside(self, other: JournalFile) -> bool:
        """Say whether this is what the other one was compressed to, or the other way round, and both are still there.

        Then they are just being exchanged, and it may be that a third one is not where it belongs.
        """
        return self._identity != other._identity and not (self if other.compressed else other).is_gone()

    def mark(self) -> bytes:
        """Give what stands in the gzip header, as the name, of the file that this one is compressed to.

        It is what the file begins with besides what stat(2) says: another one may get its inode within a clock tick.
        """
        found, beginning = os.fstat(self.fd), os.pread(self.fd, BLOCK_BYTES, 0)
        return b"%d-%d-%d-%08x" % (found.st_ino, found.st_size, found.st_mtime_ns, zlib.crc32(beginning))

    def is_at(self, path: str) -> bool | None:
        """Say whether this is the file at `path`; None where there is none."""
        try:
            there = os.stat(path, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return (there.st_dev, there.st_ino) == self._identity

    def is_gone(self) -> bool:
        """Say whether the file was removed."""
        return os.fstat(self.fd).st_nlink == 0

    def rewind(self) -> None:
        """Have `blocks` begin anew."""
        self._offset, self._rest, self._is_in_long_line = 0, b"", False
        if self._plain is not None:
            self._plain.seek(0)

    def close(self) -> None:
        """Free it. A second call does nothing."""
        plain, self._plain = self._plain, None
        if plain is not None:
            plain.close()
            self._file.close()
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def _read(self, size: int) -> bytes:
        if not self.compressed:
            return os.pread(self.fd, size, self._offset)
        if self._plain is None:
            from gzip import GzipFile

            self._file = os.fdopen(os.dup(self.fd), "rb")
            self._plain = GzipFile(fileobj=self._file)
        try:
            return self._plain.read(BLOCK_BYTES)
        except (EOFError, OSError, zlib.error):  # cut off, or no gzip: what came before counts
            return b""


class Journal:
    """The lines of a journal. Close it, or use it as a context manager."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.files = _open_files(path, None)
        """The files, the oldest first."""

    def blocks(self) -> Iterator[bytes]:
        """Give the lines there are now and have not been given so far, in blocks, across rotations.

        The file before the newest is kept: a writer may have opened it before it was rotated, and write after.
        """
        while True:
            for file in self.files:
                yield from file.blocks()
            newer = self._newer()
            if not newer:
                return
            self.drop(len(self.files) - 1)
            self.files += newer

    def present(self) -> Iterator[bytes]:
        """Give the lines there were when the files were opened, in blocks."""
        for file in self.files:
            yield from file.blocks(None if file.compressed else file.size_bytes)

    def drop(self, count: int) -> None:
        """Leave out the oldest files."""
        _close(self.files[:count])
        del self.files[:count]

    def skip_all(self) -> None:
        """Leave out the lines there are now."""
        self.drop(len(self.files) - 1)
        for file in self.files:
            file.skip(file.size_bytes)

    def close(self) -> None:
        """Free it. A second call does nothing."""
        _close(self.files)
        self.files = []

    def _newer(self) -> list[JournalFile]:
        known = self.files[-1] if self.files else None
        if known is not None and known.is_at(self._path) is not False:
            return []
        return _open_files(self._path, known)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _open_files(path: str, known: JournalFile | None) -> list[JournalFile]:
    """Open the files that are newer than a known one, or all; give them, the oldest first."""
    tries = 0
    while True:
        found: list[JournalFile] = []
        try:
            is_settled = _look(path, known, found)
            if is_settled or tries == _TRIES:  # who compresses was killed over it
                return found[::-1]
        except BaseException:
            _close(found)
            raise
        _close(found)
        tries += 1
        time.sleep(_PAUSE_SECONDS)


def _look(path: str, known: JournalFile | None, found: list[JournalFile]) -> bool:
    """Find the files that are newer than a known one, or all, the newest first; False while one may be out of place."""
    number = missing = 0
    is_settled = True
    while missing < _MISSING_BEFORE_END:
        file = JournalFile.open(f"{path}.{number}" if number else path)
        number += 1
        missing = 0 if file else missing + 1
        if file is None:
            continue
        if known is not None and file.is_same(known):
            is_settled &= not file.is_beside(known)
            file.close()
            return is_settled and not (found and found[0].is_gone())
        again = next((at for at, each in enumerate(found) if each.is_same(file)), None)
        if again is None:
            found.append(file)
            continue
        is_settled &= not file.is_beside(found[again])
        file.close()  # it has gone on, and what came between are newer ones
        _close(found[again + 1 :])
        del found[again + 1 :]
    is_lost = known is not None and not known.is_gone()
    return is_settled and not is_lost and not (found and found[0].is_gone())  # else all have gone on meanwhile


def _gzip_name(beginning: bytes) -> bytes | None:
    """Give the name that a gzip header has (RFC 1952), None for one without."""
    fixed, rest = beginning[:10], beginning[10:]
    if len(fixed) < 10 or fixed[3] & 0b1100 != 0b1000:  # a name, and no extra field before it
        return None
    return rest.partition(b"\0")[0]


def _close(files: Sequence[JournalFile]) -> None:
    for file in files:
        file.close()
