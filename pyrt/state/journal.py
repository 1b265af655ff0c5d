"""Lines that are appended to a file which is rotated: logs of containers, and events.

The newest lines are in `path`, older ones in `path.1` and so on, or `path.2.gz` where they were compressed. A writer
renames from the oldest on, then makes a new file. A reader has no lock: a file only ever gets a higher number, so who
opens them upwards passes none by, and one that has gone on meanwhile is met again.
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Self

from pyrt.errors import SyscallError

if TYPE_CHECKING:
    from gzip import GzipFile

__all__ = ["Journal", "JournalFile"]

BLOCK_BYTES = 64 << 10
LONGEST_LINE_BYTES = 1 << 20
_MISSING_BEFORE_END = 3  # a rotation leaves one number out at a time
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class JournalFile:
    """One file of a journal, open for reading; `size_bytes` is its size when it was opened."""

    def __init__(self, fd: int, *, compressed: bool) -> None:
        self.fd = fd
        self.compressed = compressed
        found = os.fstat(fd)
        self.size_bytes = found.st_size
        self._identity = (found.st_dev, found.st_ino)
        self._offset = 0
        self._rest = b""
        self._is_in_long_line = False
        self._plain: GzipFile | None = None

    @classmethod
    def open(cls, path: str) -> Self | None:
        """Open a file, or what it was compressed to; None where there is neither. Raises SyscallError."""
        for name in (path, f"{path}.gz", path):  # again: it may just have been renamed to this
            try:
                return cls(os.open(name, _FLAGS), compressed=name != path)
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
        """Say whether two are the same file; one that was compressed has kept the time of its last line."""
        if self._identity == other._identity:
            return True
        return self.compressed != other.compressed and self.modified_ns() == other.modified_ns()

    def modified_ns(self) -> int:
        """Give the time of the last line."""
        return os.fstat(self.fd).st_mtime_ns

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
    while True:
        found: list[JournalFile] = []
        number = missing = 0
        try:
            while missing < _MISSING_BEFORE_END:
                file = JournalFile.open(f"{path}.{number}" if number else path)
                number += 1
                missing = 0 if file else missing + 1
                if file is None:
                    continue
                if known is not None and file.is_same(known):
                    file.close()
                    break
                again = next((at for at, each in enumerate(found) if each.is_same(file)), None)
                if again is None:
                    found.append(file)
                    continue
                file.close()  # it has gone on, and what came between are newer ones
                _close(found[again + 1 :])
                del found[again + 1 :]
            if not found or not found[0].is_gone():  # else all have gone on, and the order is not known
                return found[::-1]
        except BaseException:
            _close(found)
            raise
        _close(found)


def _close(files: Sequence[JournalFile]) -> None:
    for file in files:
        file.close()
