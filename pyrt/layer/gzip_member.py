"""One member of a gzip stream, decoded: the header here, what it holds by ISA-L.

ISA-L also reads headers, but loses its place in one that arrives in several pieces (seen with 2.32).
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

from isal import igzip_lib

__all__ = ["GzipMember", "Malformed"]

_HEADER_LIMIT_BYTES = 1 << 18
_CHECKSUM, _EXTRA, _NAME, _COMMENT, _RESERVED = 2, 4, 8, 16, 0xE0


class Malformed(Exception):
    """Bytes that are no gzip member."""


class GzipMember:
    """A decompressor after the standard library's; checksum and size of what it held are verified."""

    def __init__(self) -> None:
        self._header = b""
        self._body: Any = None

    @property
    def eof(self) -> bool:
        return self._body is not None and bool(self._body.eof)

    @property
    def needs_input(self) -> bool:
        return self._body is None or bool(self._body.needs_input)

    @property
    def unused_data(self) -> bytes:
        unused: bytes = self._body.unused_data if self.eof else b""
        return unused

    def decompress(self, data: bytes | memoryview, /, max_length: int) -> bytes:
        """Give at most `max_length` bytes. Raises Malformed."""
        if self._body is None:
            self._header += data
            size = _header_bytes(self._header)
            if not size:
                return b""
            self._body = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP_NO_HDR_VER)
            data, self._header = self._header[size:], b""
        failure: Any = igzip_lib.error
        try:
            inflated: bytes = self._body.decompress(data, max_length)
        except failure as error:
            raise Malformed(str(error)) from None
        return inflated


def _header_bytes(data: bytes) -> int:
    """Give the size of the header that `data` begins with, 0 where it is not whole yet."""
    if len(data) < 10:
        return 0
    magic, method, flags = struct.unpack_from("<HBB", data)
    if magic != 0x8B1F or method != zlib.DEFLATED or flags & _RESERVED:
        raise Malformed("its header is none of a deflated member")
    end = 10
    if flags & _EXTRA:
        end += 2 + (struct.unpack_from("<H", data, end)[0] if len(data) >= end + 2 else 0)
    for text in (_NAME, _COMMENT):
        if flags & text:
            end = data.find(b"\0", end) + 1 or len(data) + 1
    if flags & _CHECKSUM:
        if len(data) >= end + 2 and zlib.crc32(data[:end]) & 0xFFFF != struct.unpack_from("<H", data, end)[0]:
            raise Malformed("its header has a wrong checksum")
        end += 2
    if len(data) < end and len(data) > _HEADER_LIMIT_BYTES:
        raise Malformed(f"its header has more than {_HEADER_LIMIT_BYTES} bytes")
    return end if len(data) >= end else 0
