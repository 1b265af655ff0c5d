"""Unpack a tar into a directory of a container, entry by entry, as docker does it."""

from __future__ import annotations

import lzma
import os
import stat
import tarfile
import zlib
from collections.abc import Iterable
from typing import Any, BinaryIO, Self

from pyrt.errors import Conflict, InvalidArgument
from pyrt.files.paths import lookup
from pyrt.layer import Root

__all__ = ["extract"]

_COPY_BYTES = 1 << 20
_HEADER_BYTES = 1 << 20
_ABOUT_OTHERS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
_UNREADABLE = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError)
_NODES = {tarfile.CHRTYPE: stat.S_IFCHR, tarfile.BLKTYPE: stat.S_IFBLK, tarfile.FIFOTYPE: stat.S_IFIFO}


def extract(
    root: Root, top: str, data: bytes | Iterable[bytes] | BinaryIO, *, no_overwrite_dir_non_dir: bool = False
) -> None:
    """Unpack into the directory `top`, a canonical path (see put_archive)."""
    directories: list[tuple[str, tarfile.TarInfo]] = []
    source: Any = data if hasattr(data, "read") else _Pieces(data)
    try:
        with tarfile.open(fileobj=source, mode="r|*", errors="surrogateescape", tarinfo=_Header) as tar:
            for member in tar:
                place = _place(top, member.name)
                if member.isdir():
                    _directory(root, place, member, no_overwrite_dir_non_dir)
                    directories.append((place, member))
                else:
                    _clear(root, place, member, no_overwrite_dir_non_dir)
                    _make(root, top, place, member, tar)
    except _UNREADABLE as e:
        raise InvalidArgument(f"the archive cannot be read: {e}", argument="data") from e
    for place, member in reversed(directories):
        root.utime(place, _ns(member), _ns(member))


class _Header(tarfile.TarInfo):
    """A header that cannot make this program read without bound into its memory, nor backwards."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read the 512 bytes of a header. Raises tarfile.ReadError, HeaderError at the archive's end."""
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as e:
            if len(buf) and any(buf):  # else TarFile takes what is broken for the end
                raise tarfile.ReadError(str(e)) from e
            raise
        if header.size < 0 or (header.type in _ABOUT_OTHERS and header.size > _HEADER_BYTES):
            raise tarfile.ReadError(f"a header of {header.size} bytes")
        return header


class _Pieces:
    """What tarfile reads of an iterable of bytes."""

    def __init__(self, data: bytes | Iterable[bytes]) -> None:
        self._pieces = iter((data,) if isinstance(data, bytes) else data)
        self._left = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Give so many bytes, fewer at the end."""
        parts, lacks = [], size
        while lacks:
            if not self._left:
                piece = next(self._pieces, None)
                if piece is None:
                    break
                self._left = memoryview(piece).cast("B")
            parts.append(self._left[:lacks])
            lacks -= len(parts[-1])
            self._left = self._left[len(parts[-1]) :]
        return b"".join(parts)


def _place(top: str, name: str) -> str:
    """Give where an entry belongs. Raises InvalidArgument for a name that leads out."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise InvalidArgument(f"the archive's entry {name!r} leads out of the directory", argument="data")
    return "/".join([top.rstrip("/"), *parts]) or "/"


def _directory(root: Root, place: str, member: tarfile.TarInfo, keeps: bool) -> None:
    there = lookup(root, place, follow=False)
    if there is not None and not stat.S_ISDIR(there.st_mode):
        if keeps:
            raise Conflict(f'cannot overwrite non-directory "{place}" with directory "{member.name}"')
        root.unlink(place)
        there = None
    if there is None:
        _make_parents(root, place)
        root.mkdir(place, 0o700)
    root.chown(place, member.uid, member.gid, follow=False)
    root.chmod(place, stat.S_IMODE(member.mode), follow=False)


def _clear(root: Root, place: str, member: tarfile.TarInfo, keeps: bool) -> None:
    """Remove what has the name of an entry that is no directory."""
    there = lookup(root, place, follow=False)
    if there is None:
        _make_parents(root, place)
    elif not stat.S_ISDIR(there.st_mode):
        if not member.islnk():
            root.unlink(place)
    elif keeps or place == "/":
        raise Conflict(f'cannot overwrite directory "{place}" with non-directory "{member.name}"')
    else:
        root.rmtree(place)


def _make_parents(root: Root, place: str) -> None:
    above = place.rpartition("/")[0]
    if above and lookup(root, above) is None:
        _make_parents(root, above)
        root.mkdir(above)


def _make(root: Root, top: str, place: str, member: tarfile.TarInfo, tar: tarfile.TarFile) -> None:
    mode = stat.S_IMODE(member.mode)
    if member.islnk():
        target = _place(top, member.linkname)
        if target != place:
            if lookup(root, place, follow=False) is not None:
                root.unlink(place)
            root.link(target, place)
        return
    if member.issym():
        root.symlink(member.linkname, place)
    elif member.type in _NODES:
        root.mknod(place, _NODES[member.type] | mode, os.makedev(member.devmajor, member.devminor))
    elif member.isreg():
        _file(root, place, member, tar)
    else:
        raise InvalidArgument(f"the archive's entry {member.name!r} is of no known type", argument="data")
    root.chown(place, member.uid, member.gid, follow=False)
    if not member.issym():
        root.chmod(place, mode, follow=False)
    root.utime(place, _ns(member), _ns(member))


def _file(root: Root, place: str, member: tarfile.TarInfo, tar: tarfile.TarFile) -> None:
    content = tar.extractfile(member)
    assert content is not None
    fd = root.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(fd, "wb", buffering=0) as file:
        while piece := content.read(_COPY_BYTES):
            view = memoryview(piece)
            while view:
                view = view[file.write(view) :]


def _ns(member: tarfile.TarInfo) -> int:
    return int(member.mtime * 10**9)
