"""`get_archive` and `put_archive`: files of a container as a tar, and the reverse, with docker's semantics.

Takes a Root and paths; gives an iterator over the tar's bytes and the fields of X-Docker-Container-Path-Stat.
"""

from __future__ import annotations

import os
import posixpath
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, BinaryIO

from pyrt.errors import InvalidArgument, NotFound, SyscallError
from pyrt.files.extract import extract
from pyrt.files.paths import ContainerPath, canonical, located, names_directory, text_of
from pyrt.files.tree import VANISHED, Entry, entries, pieces, sized
from pyrt.layer import Root

__all__ = ["CHUNK_BYTES", "get_archive", "path_stat", "put_archive"]

CHUNK_BYTES = 2 << 20  # docker-py's
_BLOCK = 512
_GO_BITS = {  # of Go's os.FileMode, which Docker writes
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
    stat.S_IFREG: 0,
}
_TYPES = {
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFREG: tarfile.REGTYPE,
}


def path_stat(root: Root, path: ContainerPath) -> dict[str, Any]:
    """Give name, size, mode (as Go's os.FileMode), mtime (RFC 3339) and linkTarget of what is at a path.

    A link at its end is not followed, unless a slash is behind it. Raises NotFound, InvalidArgument, SyscallError.
    """
    real, status = _located(root, text_of(path))
    target = ""
    if stat.S_ISLNK(status.st_mode):
        target = root.readlink(real)
        with suppress(SyscallError):  # one that leads nowhere is told as it stands
            target = canonical(root, real)
    return {
        "name": _name(text_of(path)),
        "size": status.st_size,
        "mode": _go_mode(status.st_mode),
        "mtime": _rfc3339(status.st_mtime_ns),
        "linkTarget": target,
    }


def get_archive(
    root: Root, path: ContainerPath, *, chunk_size: int | None = CHUNK_BYTES, on_end: Callable[[], None] = lambda: None
) -> tuple[Iterator[bytes], dict[str, Any]]:
    """Give a tar of what is at a path, in pieces of `chunk_size` bytes (None: as they come), and its path_stat.

    Its names begin with that of the path. Files are as long as they are when they are opened; sockets are left out.
    `on_end` is called when the iterator ends or is closed. Raises what path_stat raises.
    """
    if chunk_size is not None and chunk_size < 1:
        raise InvalidArgument(f"{chunk_size} is not positive", argument="chunk_size")
    described = path_stat(root, path)
    real, _ = _located(root, text_of(path))
    parts = _archive(root, real, described["name"].strip("/"))
    return _Ending(parts if chunk_size is None else _even(parts, chunk_size), on_end), described


def put_archive(
    root: Root, path: ContainerPath, data: bytes | Iterable[bytes] | BinaryIO, *, no_overwrite_dir_non_dir: bool = False
) -> bool:
    """Unpack a tar (plain, gzip, bzip2 or xz) into a directory that is there; give True.

    Names that are absolute begin in that directory; one with `..` is refused, and so is a hard link that leads out of
    it. What symbolic links lead to is in the container, whatever they say. What has an entry's name is replaced, but a
    directory only where `no_overwrite_dir_non_dir` is False. Raises NotFound, InvalidArgument, Conflict, SyscallError.
    """
    text = text_of(path)
    real, _ = _located(root, text, follow=True)
    if not stat.S_ISDIR(root.stat(real, follow=False).st_mode):
        raise InvalidArgument(f"extraction point {text} is not a directory", argument="path")
    extract(root, real, data, no_overwrite_dir_non_dir=no_overwrite_dir_non_dir)
    return True


class _Ending:
    """An iterator that says when it has ended, or is not wanted any more."""

    def __init__(self, pieces: Iterator[bytes], on_end: Callable[[], None]) -> None:
        self._pieces = pieces
        self._on_end: Callable[[], None] | None = on_end

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._pieces)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of it. A second call does nothing."""
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end()

    def __del__(self) -> None:
        self.close()


def _located(root: Root, text: str, *, follow: bool = False) -> tuple[str, os.stat_result]:
    found = located(root, text, follow=follow)
    if found is None:
        raise NotFound(f"could not find the file {text} in the container")
    if names_directory(text) and not stat.S_ISDIR(found[1].st_mode):
        raise InvalidArgument(f"{text} is not a directory", argument="path")
    return found


def _archive(root: Root, top: str, name: str) -> Iterator[bytes]:
    linked: dict[tuple[int, int], str] = {}
    for entry in entries(root, top):
        called = f"{name}/{entry.name}".strip("/") or "."
        yield from _member(root, entry, called, linked)
    yield bytes(2 * _BLOCK)


def _member(root: Root, entry: Entry, name: str, linked: dict[tuple[int, int], str]) -> Iterator[bytes]:
    """Give the header of an entry, and the bytes of a file."""
    status, kind = entry.status, stat.S_IFMT(entry.status.st_mode)
    if kind not in _TYPES:
        return
    header = tarfile.TarInfo(name)
    header.type, header.mode, header.mtime = _TYPES[kind], stat.S_IMODE(status.st_mode), status.st_mtime_ns // 10**9
    header.uid, header.gid = status.st_uid, status.st_gid
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        header.devmajor, header.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    if kind != stat.S_IFREG:
        with suppress(SyscallError):  # it is no link any more: then the archive has one to nothing
            header.linkname = root.readlink(entry.path) if kind == stat.S_IFLNK else ""
        yield _packed(header)
        return
    first = linked.setdefault((status.st_dev, status.st_ino), name) if status.st_nlink > 1 else name
    if first != name:
        header.type, header.linkname = tarfile.LNKTYPE, first
        yield _packed(header)
        return
    yield from _file(root, entry, header)


def _file(root: Root, entry: Entry, header: tarfile.TarInfo) -> Iterator[bytes]:
    try:
        fd = root.open(entry.path, os.O_RDONLY, links=False)
    except SyscallError as e:
        if e.errno not in VANISHED:
            raise
        return
    try:
        header.size, whole = sized(fd)
        yield _packed(header)
        if whole is not None:
            yield whole
        else:
            at = 0
            for offset, piece in pieces(fd, header.size):
                yield from _zeros(offset - at)
                yield piece
                at = offset + len(piece)
            yield from _zeros(header.size - at)
        yield bytes(-header.size % _BLOCK)
    finally:
        os.close(fd)


def _packed(header: tarfile.TarInfo) -> bytes:
    return header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield bytes(min(count, CHUNK_BYTES))
        count -= CHUNK_BYTES


def _even(parts: Iterator[bytes], size: int) -> Iterator[bytes]:
    gathered = bytearray()
    for part in parts:
        gathered += part
        while len(gathered) >= size:
            yield bytes(gathered[:size])
            del gathered[:size]
    if gathered:
        yield bytes(gathered)


def _name(text: str) -> str:
    return posixpath.basename(posixpath.normpath(f"/{text}")) or "/"


def _go_mode(mode: int) -> int:
    special = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))
    return (mode & 0o777) | _GO_BITS[stat.S_IFMT(mode)] | sum(bit for flag, bit in special if mode & flag)


def _rfc3339(mtime_ns: int) -> str:
    seconds, ns = divmod(mtime_ns, 10**9)
    fraction = f".{ns:09}".rstrip("0") if ns else ""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"
