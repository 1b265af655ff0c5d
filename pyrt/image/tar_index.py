"""Where the files of a tar archive lie, so that they can be read in place: nothing is ever extracted under its name.

An archive that means one thing to one reader and another to the next, or that points out of itself, is refused as a
whole: members twice, absolute, with `..`, links to outside.
"""

from __future__ import annotations

import posixpath
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, cast

from pyrt.errors import InvalidSpec
from pyrt.image.blob import Piece

__all__ = ["Member", "index_members", "resolve"]

MAX_MEMBERS = 1 << 16
_MAX_HEADER_BYTES = 1 << 14  # of an extended header: the path and attributes of one member
_MAX_GLOBALS = 64  # records for all members, which tarfile keeps, and copies for each
_MAX_LINKS = 8
_BLOCK = 512
_TYPE = slice(156, 157)  # of a header
_RECORD = re.compile(rb"([0-9]{1,5}) [^=\n]{1,512}=")


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive, or with `link` another name of the member that is called so."""

    offset_bytes: int
    size_bytes: int
    link: str = ""


class _Headers:
    """The file that tarfile reads headers from, and nothing but headers: a larger read is an archive's lie."""

    def __init__(self, piece: Piece) -> None:
        self._piece = piece
        self._position = 0
        self._is_pax = False  # what is read next

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise InvalidSpec(f"{self._piece.path}: a header of {size} bytes; the limit is {_MAX_HEADER_BYTES}")
        content = self._piece.read(self._position, size)
        self._position += len(content)
        if self._is_pax:
            _check_records(self._piece, content)
        self._is_pax = not self._is_pax and content[_TYPE] in (b"x", b"g", b"X")
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        assert whence == 0
        self._position = offset
        return offset

    def tell(self) -> int:
        return self._position


def index_members(piece: Piece) -> dict[str, Member]:
    """List the files and links of an uncompressed tar by their path. Raises InvalidSpec."""
    members: dict[str, Member] = {}
    directories: set[str] = set()
    try:
        with tarfile.open(fileobj=cast(IO[bytes], _Headers(piece)), mode="r:", errors="surrogateescape") as archive:
            while (entry := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # it would keep all; typeshed has no word of the list
                path = _plain(piece, entry.name)
                if len(members) + len(directories) >= MAX_MEMBERS or len(archive.pax_headers or ()) > _MAX_GLOBALS:
                    raise InvalidSpec(f"{piece.path}: more than {MAX_MEMBERS} members or {_MAX_GLOBALS} global records")
                if entry.isdir():
                    directories.add(path)
                    continue
                if path in members:
                    raise InvalidSpec(f"{piece.path}: {path!r} is there twice")
                members[path] = _member(piece, entry, path)
            _check_end(piece, archive.offset)
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as e:
        raise InvalidSpec(f"{piece.path} is no whole tar archive: {e}") from None
    if both := directories & members.keys():
        raise InvalidSpec(f"{piece.path}: {min(both)!r} is a directory and a file")
    return members


def resolve(members: Mapping[str, Member], path: str) -> Member | None:
    """Give the file that a path leads to, through links; None where there is none."""
    for _ in range(_MAX_LINKS):
        member = members.get(path)
        if member is None or not member.link:
            return member
        path = member.link
    return None


def _member(piece: Piece, entry: tarfile.TarInfo, path: str) -> Member:
    if entry.issym():
        target = posixpath.join(posixpath.dirname(path), entry.linkname)
        return Member(0, 0, _plain(piece, posixpath.normpath(target), path))
    if entry.islnk():
        return Member(0, 0, _plain(piece, entry.linkname, path))
    if not entry.isreg() or entry.issparse():
        raise InvalidSpec(f"{piece.path}: {path!r} is neither a file, nor a directory, nor a link")
    if entry.size < 0 or entry.offset_data + entry.size > piece.size_bytes:
        sizes = f"says it has {entry.size} bytes, but the archive ends after {piece.size_bytes}"
        raise InvalidSpec(f"{piece.path}: {path!r} {sizes}")
    return Member(entry.offset_data, entry.size)


def _plain(piece: Piece, name: str, link: str = "") -> str:
    """Give a member's path without `./`. Raises InvalidSpec for one that leads out of the archive."""
    path = posixpath.normpath(name)
    if not name or "\0" in name or path.startswith("/") or path.split("/")[0] == "..":
        what = f"{link!r} is a link to {name!r}, which leads" if link else f"{name!r} leads"
        raise InvalidSpec(f"{piece.path}: the member {what} out of the archive")
    return path


def _check_records(piece: Piece, content: bytes) -> None:
    """See that records end where they say: tarfile before 3.11.10 lets them overlap, and keeps the square of them."""
    at = 0
    while content[at : at + 1].strip(b"\0"):
        record = _RECORD.match(content, at)
        end = at + int(record[1]) if record else 0
        if record is None or end <= record.end() or content[end - 1 : end] != b"\n":
            raise InvalidSpec(f"{piece.path}: a pax header has a record that lies about its length")
        at = end


def _check_end(piece: Piece, offset: int) -> None:
    """See that the archive ends where its reader stopped: tarfile takes a broken header for the end."""
    if piece.read(offset, _BLOCK).strip(b"\0"):
        raise InvalidSpec(f"{piece.path}: there is no header of a member at byte {offset}, and no end of the archive")
