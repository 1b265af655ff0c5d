"""Compress and decompress streams of chunks.

Takes iterables of bytes, gives iterators of bytes, each piece at most about 1 MiB: what a stream inflates to is seen
piece by piece, and who reads it decides when it is too much.

What is compressed is the same for any number of threads and any cut of the chunks, by one version of the libraries.
zstd is also the same on every processor. gzip of the levels 1 and 2 (ISA-L) is the same on every x86-64 that has
SSE4.2, so on all since 2009, but differs on older ones and may on other architectures; from 3 on it is zlib's. The
DiffID depends on none of this.
"""

from __future__ import annotations

import os
import re
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from pyrt.errors import IntegrityError, InvalidArgument

__all__ = ["Compression", "compress", "decompress"]

Compression = Literal["gzip", "zstd", "none"]

_PIECE_BYTES = 1 << 20
_SLICE_BYTES = 1 << 16  # given to a decoder at first: it copies what follows a member, and members may be tiny
_MAGIC_BYTES = 10
_MEMORY_BYTES = 1 << 27  # what decoding may take: zstd's own limit, and more than xz -9 needs
_GZIP_BLOCK_BYTES = 1 << 20
_ZSTD_BLOCK_BYTES = 1 << 22  # a frame each, so no smaller than the window
_MOST_THREADS = 8  # by default: each has blocks of its own in memory
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # no name, no time, no system
_GZIP_LAST_BLOCK = b"\x03\0"

_Item = TypeVar("_Item")
_Done = TypeVar("_Done")


def decompress(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Give what a stream of gzip, zstd, xz or bzip2 holds, recognised by its first bytes; any other as it is.

    Members and frames may follow each other; skippable frames of zstd are skipped, so its seekable and chunked forms
    are read; zeros may follow the last one. Raises IntegrityError where a stream is corrupt, ends early or goes on
    with anything else: after all pieces that came before.
    """
    source = _Source(chunks)
    head = source.peek(_MAGIC_BYTES)
    for form in _FORMS:
        if form.magic.match(head):
            yield from _inflate(source, form)
            return
    yield from source.pieces()


def compress(
    chunks: Iterable[bytes], kind: Compression, level: int | None = None, threads: int | None = None
) -> Iterator[bytes]:
    """Give the stream compressed, blocks of it side by side on `threads` (by default one a core, at most 8).

    gzip is one member without name and time; its level is 1 to 9 (2). zstd is a frame with a checksum for each 4 MiB;
    its level is 1 to 19 (3). Raises InvalidArgument for another kind or level.
    """
    lowest, given, highest = {"none": (0, 0, 0), "gzip": (1, 2, 9), "zstd": (1, 3, 19)}.get(kind, (0, 0, -1))
    level = given if level is None else level
    if lowest > highest:
        raise InvalidArgument(f"{kind!r} is not gzip, zstd or none", argument="compression")
    if not lowest <= level <= highest:
        raise InvalidArgument(f"{kind} has levels {lowest} to {highest}, not {level}", argument="level")
    threads = threads or min(len(os.sched_getaffinity(0)), _MOST_THREADS)
    if kind == "gzip":
        return _gzip(chunks, level, threads)
    return _zstandard(chunks, level, threads) if kind == "zstd" else iter(chunks)


class _Decoder(Protocol):
    """What the standard library's decompressors share."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: Any, /, max_length: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class _Form:
    """One kind of stream: `load` gives the maker of decoders, each for one member, and what they raise."""

    name: str
    magic: re.Pattern[bytes]
    load: Callable[[], tuple[Callable[[], _Decoder], type[Exception]]]


class _Source:
    """The stream in small slices, of which some can be given back; `position` is that of the next byte."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._ready: deque[memoryview] = deque()
        self.position = 0

    def take(self, limit: int = _SLICE_BYTES) -> memoryview:
        """Give the next bytes; none at the end."""
        while not self._ready:
            chunk = next(self._chunks, None)
            if chunk is None:
                return memoryview(b"")
            if chunk:
                self._ready.append(memoryview(chunk))
        piece = self._ready.popleft()
        if len(piece) > limit:
            self._ready.appendleft(piece[limit:])
            piece = piece[:limit]
        self.position += len(piece)
        return piece

    def give_back(self, piece: bytes) -> None:
        """Put in front what was taken last."""
        if piece:
            self._ready.appendleft(memoryview(piece))
            self.position -= len(piece)

    def peek(self, size: int) -> bytes:
        """Give the next `size` bytes, fewer at the end, and leave them where they are."""
        head = b""
        while len(head) < size and (piece := self.take(size - len(head))):
            head += piece
        self.give_back(head)
        return head

    def pieces(self) -> Iterator[bytes]:
        """Give all that is left."""
        while piece := self.take(_PIECE_BYTES):
            whole = piece.obj
            yield whole if isinstance(whole, bytes) and len(whole) == len(piece) else bytes(piece)


def _inflate(source: _Source, form: _Form) -> Iterator[bytes]:
    make_decoder, failure = form.load()
    while True:
        decoder, slice_bytes = make_decoder(), _SLICE_BYTES
        while not decoder.eof:
            piece: bytes | memoryview = b""
            if decoder.needs_input:
                piece, slice_bytes = source.take(slice_bytes), min(2 * slice_bytes, _PIECE_BYTES)
                if not piece:
                    raise IntegrityError(f"the {form.name} stream ends early, at byte {source.position}")
            try:
                inflated = decoder.decompress(piece, _PIECE_BYTES)
            except failure as error:
                where = f"before byte {source.position}"
                raise IntegrityError(f"the {form.name} stream is corrupt {where}: {error}") from error
            if inflated:
                yield inflated
        source.give_back(decoder.unused_data)
        if not form.magic.match(source.peek(_MAGIC_BYTES)):
            return _check_padding(source, form)


def _check_padding(source: _Source, form: _Form) -> None:
    """Raise IntegrityError unless zeros alone are left, as tapes and block devices leave them."""
    while piece := source.take():
        data = bytes(piece)
        start = source.position - len(data)
        if strange := data.lstrip(b"\0"):
            where = f"at byte {start + len(data) - len(strange)}"
            raise IntegrityError(f"the {form.name} stream goes on with something else {where}")


def _load_gzip() -> tuple[Callable[[], _Decoder], type[Exception]]:
    from pyrt.layer.gzip_member import GzipMember, Malformed

    return GzipMember, Malformed


def _load_zstd() -> tuple[Callable[[], _Decoder], type[Exception]]:
    zstd = _zstd()
    options = {zstd.DecompressionParameter.window_log_max: _MEMORY_BYTES.bit_length() - 1}
    return lambda: zstd.ZstdDecompressor(options=options), zstd.ZstdError


def _load_xz() -> tuple[Callable[[], _Decoder], type[Exception]]:
    import lzma

    return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY_BYTES), lzma.LZMAError


def _load_bzip2() -> tuple[Callable[[], _Decoder], type[Exception]]:
    import bz2

    return bz2.BZ2Decompressor, OSError


_FORMS = (
    _Form("gzip", re.compile(rb"\x1f\x8b"), _load_gzip),
    _Form("zstd", re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), _load_zstd),
    _Form("xz", re.compile(rb"\xfd7zXZ\0"), _load_xz),
    # "BZh" alone may begin the name of a tar's first entry.
    _Form("bzip2", re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), _load_bzip2),
)


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def _gzip(chunks: Iterable[bytes], level: int, threads: int) -> Iterator[bytes]:
    """Give one member: blocks that end on a byte need not know each other."""
    from isal.isal_zlib import crc32_combine

    checksum = size = 0
    yield _GZIP_HEADER
    for body, block_checksum, block_bytes in _side_by_side(
        _gzip_encoder(level), _blocks(chunks, _GZIP_BLOCK_BYTES), threads
    ):
        checksum = crc32_combine(checksum, block_checksum, block_bytes)
        size += block_bytes
        yield body
    yield _GZIP_LAST_BLOCK + struct.pack("<II", checksum, size & 0xFFFFFFFF)


def _gzip_encoder(level: int) -> Callable[[bytes], tuple[bytes, int, int]]:
    """Give what makes of a block deflated bytes, checksum and size. ISA-L's level 3 depends on the processor."""
    import zlib

    from isal import isal_zlib

    make_encoder: Any = isal_zlib.compressobj if level <= 2 else zlib.compressobj

    def encode(block: bytes) -> tuple[bytes, int, int]:
        encoder = make_encoder(level, zlib.DEFLATED, -zlib.MAX_WBITS)
        body: bytes = encoder.compress(block) + encoder.flush(zlib.Z_SYNC_FLUSH)
        return body, isal_zlib.crc32(block), len(block)

    return encode


def _zstandard(chunks: Iterable[bytes], level: int, threads: int) -> Iterator[bytes]:
    encode = _zstd_encoder(level)
    is_empty = True
    for frame in _side_by_side(encode, _blocks(chunks, _ZSTD_BLOCK_BYTES), threads):
        is_empty = False
        yield frame
    if is_empty:
        yield encode(b"")


def _zstd_encoder(level: int) -> Callable[[bytes], bytes]:
    zstd = _zstd()
    parameter = zstd.CompressionParameter
    options = {parameter.compression_level: level, parameter.checksum_flag: 1}

    def encode(block: bytes) -> bytes:
        frame: bytes = zstd.compress(block, options=options)
        return frame

    return encode


def _blocks(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Give the stream again in blocks of `size` bytes, the last one shorter."""
    source = _Source(chunks)
    parts: list[memoryview] = []
    lacking = size
    while piece := source.take(lacking):
        parts.append(piece)
        lacking -= len(piece)
        if not lacking:
            yield b"".join(parts)
            parts, lacking = [], size
    if parts:
        yield b"".join(parts)


def _side_by_side(work: Callable[[_Item], _Done], items: Iterable[_Item], threads: int) -> Iterator[_Done]:
    """Give the results in order; at most `threads` + 2 items are in memory, and no thread is left when this ends."""
    under_way: deque[Future[_Done]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="pyrt-compress") as pool:
        try:
            for item in items:
                under_way.append(pool.submit(work, item))
                if len(under_way) > threads + 1:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
