"""Archives made by hand, header by header: every dialect, and what no honest program would write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = [
    "Header",
    "SparseForm",
    "archive",
    "block",
    "end_of",
    "pax",
    "sparse_0_0",
    "sparse_0_1",
    "sparse_1_0",
    "sparse_old",
]

BLOCK = 512
GNU = b"ustar  \0"
POSIX = b"ustar\x0000"

Pieces = Sequence[tuple[int, bytes]]
"""The data of a sparse file: offset and bytes, ascending."""


class SparseForm(Protocol):
    """A way to write a sparse file of a size, by default up to its last byte."""

    def __call__(self, name: bytes, pieces: Pieces, size: int | None = None) -> list[Header]: ...


@dataclass(frozen=True, slots=True)
class Header:
    """A header and its data; fields that are None are computed. Numbers may be bytes, to be written as they are."""

    name: bytes
    type: bytes = b"0"
    data: bytes = b""
    link: bytes = b""
    mode: int | bytes = 0o644
    uid: int | bytes = 0
    gid: int | bytes = 0
    mtime: int | bytes = 0
    size: int | bytes | None = None
    magic: bytes = POSIX
    device: tuple[int, int] = (0, 0)
    prefix: bytes = b""
    tail: bytes = b""  # instead of the prefix, from byte 345
    checksum: int | bytes | None = None


def archive(headers: Iterable[Header], *, end: bytes = bytes(2 * BLOCK)) -> bytes:
    """Give the archive of some headers, with the end mark."""
    return b"".join(block(header) for header in headers) + end


def block(header: Header) -> bytes:
    """Give a header with its data, padded."""
    size = len(header.data) if header.size is None else header.size
    fields = [
        header.name[:100].ljust(100, b"\0"),
        field(header.mode, 8),
        field(header.uid, 8),
        field(header.gid, 8),
        field(size, 12),
        field(header.mtime, 12),
        b" " * 8,
        header.type,
        header.link[:100].ljust(100, b"\0"),
    ]
    if header.magic:
        devices = b"".join(field(number, 8) for number in header.device)
        fields += [header.magic, bytes(64), devices, header.tail or header.prefix.ljust(155, b"\0")]
    raw = bytearray(b"".join(fields).ljust(BLOCK, b"\0"))
    total = sum(raw) if header.checksum is None else header.checksum
    raw[148:156] = total.ljust(8, b"\0") if isinstance(total, bytes) else b"%06o\0 " % total
    return bytes(raw) + header.data + bytes(-len(header.data) % BLOCK)


def field(value: int | bytes, size: int) -> bytes:
    """Give a number in octal, or where that does not fit in base 256."""
    if isinstance(value, bytes):
        return value.ljust(size, b"\0")
    if 0 <= value < 8 ** (size - 1):
        return b"%0*o\0" % (size - 1, value)
    raw = value.to_bytes(size, "big", signed=True)
    return bytes([raw[0] | 0x80]) + raw[1:]


def pax(records: Mapping[bytes, bytes] | Sequence[tuple[bytes, bytes]], *, type: bytes = b"x") -> Header:
    """Give an extended header."""
    items = records.items() if isinstance(records, Mapping) else records
    return Header(b"PaxHeader", type=type, data=b"".join(record(key, value) for key, value in items))


def record(key: bytes, value: bytes) -> bytes:
    """Give one record, whose length counts itself."""
    rest = b" " + key + b"=" + value + b"\n"
    size = len(rest)
    while len(b"%d" % size) + len(rest) != size:
        size = len(b"%d" % size) + len(rest)
    return b"%d" % size + rest


def end_of(pieces: Pieces) -> int:
    """Give the size of the file that ends with the last piece."""
    return max((offset + len(data) for offset, data in pieces), default=0)


def sparse_old(name: bytes, pieces: Pieces, size: int | None = None) -> list[Header]:
    """Give a sparse file of GNU tar before pax; extension blocks are put before the data."""
    pairs = [field(offset, 12) + field(len(data), 12) for offset, data in pieces]
    more = [pairs[at : at + 21] for at in range(4, len(pairs), 21)]
    blocks = [b"".join(some).ljust(504, b"\0") + bytes([some is not more[-1]]) + bytes(7) for some in more]
    tail = bytes(41) + b"".join(pairs[:4]).ljust(96, b"\0") + bytes([bool(more)])
    data = b"".join(data for _, data in pieces)
    tail += field(end_of(pieces) if size is None else size, 12)
    header = Header(name, type=b"S", data=b"".join(blocks) + data, size=len(data), magic=GNU, tail=tail)
    return [header]


def sparse_0_0(name: bytes, pieces: Pieces, size: int | None = None) -> list[Header]:
    """Give a sparse file in pax format 0.0."""
    records = [(b"GNU.sparse.size", b"%d" % (end_of(pieces) if size is None else size))]
    records += [(b"GNU.sparse.numblocks", b"%d" % len(pieces))]
    for offset, data in pieces:
        records += [(b"GNU.sparse.offset", b"%d" % offset), (b"GNU.sparse.numbytes", b"%d" % len(data))]
    return [pax(records), Header(name, data=b"".join(data for _, data in pieces))]


def sparse_0_1(name: bytes, pieces: Pieces, size: int | None = None) -> list[Header]:
    """Give a sparse file in pax format 0.1."""
    numbers = b",".join(b"%d,%d" % (offset, len(data)) for offset, data in pieces)
    whole = end_of(pieces) if size is None else size
    records = {b"GNU.sparse.size": b"%d" % whole, b"GNU.sparse.name": name, b"GNU.sparse.map": numbers}
    return [pax(records), Header(b"GNUSparseFile.0/x", data=b"".join(data for _, data in pieces))]


def sparse_1_0(name: bytes, pieces: Pieces, size: int | None = None) -> list[Header]:
    """Give a sparse file in pax format 1.0, whose map stands before the data."""
    lines = b"%d\n" % len(pieces) + b"".join(b"%d\n%d\n" % (offset, len(data)) for offset, data in pieces)
    whole = end_of(pieces) if size is None else size
    records = {
        b"GNU.sparse.major": b"1",
        b"GNU.sparse.minor": b"0",
        b"GNU.sparse.name": name,
        b"GNU.sparse.realsize": b"%d" % whole,
    }
    data = lines + bytes(-len(lines) % BLOCK) + b"".join(data for _, data in pieces)
    return [pax(records), Header(b"GNUSparseFile.0/x", data=data)]
