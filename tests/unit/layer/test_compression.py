from __future__ import annotations

import bz2
import gzip
import hashlib
import itertools
import lzma
import struct
import subprocess
import threading
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.errors import IntegrityError, InvalidArgument
from pyrt.layer import Compression, compress, decompress

KINDS: tuple[Compression, ...] = get_args(Compression)
SKIPPABLE = struct.pack("<II", 0x184D2A5E, 9) + b"seektable"
TEXT = b"".join(b"%d squared is %d\n" % (n, n * n) for n in range(6000))
PACKED = ("gzip", "zstd", "xz", "bzip2")


def zstd(data: bytes) -> bytes:
    return b"".join(compress([data], "zstd"))


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zstd": zstd,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def inflated(*chunks: bytes) -> bytes:
    return b"".join(decompress(chunks))


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
def test_every_form_is_recognised_however_it_is_cut(name: str, size: int) -> None:
    packed = PACK[name](TEXT)

    assert b"".join(decompress(cut(packed, size))) == TEXT


@pytest.mark.parametrize("name", PACKED)
def test_members_follow_each_other_and_zeros_the_last(name: str) -> None:
    pack = PACK[name]
    packed = pack(b"one") + pack(b"") + pack(b"two") + bytes(1 << 18)

    assert inflated(packed) == b"onetwo"
    assert inflated(*cut(packed[:200], 1)) == b"onetwo"


def test_skippable_frames_are_skipped_first_last_and_between() -> None:
    packed = SKIPPABLE + zstd(b"one") + SKIPPABLE + SKIPPABLE + zstd(b"two") + SKIPPABLE

    assert inflated(packed) == b"onetwo"
    assert inflated(*cut(packed, 1)) == b"onetwo"
    assert inflated(SKIPPABLE) == b""


def gzip_header(flags: int, extra: bytes = b"extra") -> bytes:
    header = b"\x1f\x8b\x08" + bytes([flags]) + b"\0\0\0\0\0\xff"
    header += struct.pack("<H", len(extra)) + extra if flags & 4 else b""
    return header + b"name\0" * bool(flags & 8) + b"a comment\0" * bool(flags & 16)


def gzip_body(data: bytes) -> bytes:
    raw = zlib.compressobj(wbits=-15)
    return raw.compress(data) + raw.flush() + struct.pack("<II", zlib.crc32(data), len(data))


@pytest.mark.parametrize("flags", [*range(32)])
@pytest.mark.parametrize("extra", [b"", b"extra", bytes(65535)])
def test_a_gzip_header_may_have_any_field(flags: int, extra: bytes) -> None:
    header = gzip_header(flags, extra)
    checksum = struct.pack("<H", zlib.crc32(header) & 0xFFFF) if flags & 2 else b""
    member = header + checksum + gzip_body(b"hello")

    assert inflated(member) == b"hello"
    assert b"".join(decompress(cut(member * 2, 11 if len(extra) < 9 else 4001))) == b"hellohello"


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (gzip_header(2) + b"\1\2", "wrong checksum"),
        (gzip_header(32), "none of a deflated member"),
        (b"\x1f\x8b\x07" + gzip_header(0)[3:], "none of a deflated member"),
        (gzip_header(8)[:-1] + b"x" * (1 << 20), "more than 262144 bytes"),
    ],
)
def test_a_malformed_gzip_header_is_refused(header: bytes, why: str) -> None:
    with pytest.raises(IntegrityError, match=why):
        inflated(header + gzip_body(b"hello"))


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"\x1f", b"P*M", b"BZhello", b"\xfd7zX", bytes(1 << 22), b"plain " * 300_000]
)
def test_anything_else_passes_as_it_is(data: bytes) -> None:
    assert inflated(data) == data
    assert all(len(piece) <= 1 << 20 for piece in decompress([data]))


@pytest.mark.parametrize("name", PACKED)
def test_a_bomb_is_seen_piece_by_piece(name: str) -> None:
    bomb = PACK[name](bytes(1 << 26))
    pieces = decompress([bomb])

    first = list(itertools.islice(pieces, 3))

    assert [len(piece) for piece in first] == [1 << 20] * 3
    assert sum(map(len, first)) + sum(map(len, pieces)) == 1 << 26


@pytest.mark.parametrize("name", PACKED)
def test_a_stream_may_not_end_early_at_any_byte(name: str) -> None:
    packed = PACK[name](TEXT[:300])

    for end in range(10, len(packed)):
        with pytest.raises(IntegrityError, match=f"the {name} stream ends early, at byte {end}$"):
            inflated(packed[:end])


@pytest.mark.parametrize("name", PACKED)
def test_what_comes_before_the_end_is_given_before_the_error(name: str) -> None:
    text = TEXT * 20
    packed = PACK[name](text) + PACK[name](text)
    got = bytearray()

    with pytest.raises(IntegrityError, match="ends early"):
        for piece in decompress(cut(packed[:-5], 100)):
            got += piece

    assert len(got) >= len(text)
    assert (text + text).startswith(bytes(got))


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("garbage", [b"x", b"\0\0\0x", bytes(1 << 17) + b"\1"])
def test_garbage_after_a_member_is_refused(name: str, garbage: bytes) -> None:
    packed = PACK[name](b"data")
    where = len(packed) + len(garbage) - 1

    with pytest.raises(IntegrityError, match=f"the {name} stream goes on with something else at byte {where}$"):
        inflated(packed + garbage)


@pytest.mark.parametrize("name", PACKED)
def test_a_changed_byte_is_seen_or_changes_nothing(name: str) -> None:
    packed = PACK[name](TEXT[:200])
    harmless = 0
    for at in range(len(packed)):
        changed = bytes([*packed[:at], packed[at] ^ 0x55, *packed[at + 1 :]])
        try:
            got = inflated(changed)
        except IntegrityError:
            continue
        assert got in (TEXT[:200], changed), at  # a header's field that says nothing of the data; or the magic
        harmless += 1

    assert harmless < 24


def test_checksum_and_size_of_gzip_are_checked() -> None:
    packed = gzip.compress(TEXT, mtime=0)
    crc, size = struct.unpack("<II", packed[-8:])

    for trailer in ((crc ^ 1, size), (crc, size + 1)):
        with pytest.raises(IntegrityError, match="the gzip stream is corrupt before byte"):
            inflated(packed[:-8] + struct.pack("<II", *trailer))


def test_a_window_of_gigabytes_is_refused() -> None:
    frame = bytes.fromhex("28b52ffd00a8") + bytes.fromhex("010000")  # windowLog 31, then an empty last block

    with pytest.raises(IntegrityError, match="zstd"):
        inflated(frame)


@pytest.mark.parametrize("name", PACKED)
def test_many_tiny_members_are_read(name: str) -> None:
    assert inflated(PACK[name](b"x") * 3000) == b"x" * 3000


@given(data=st.binary(max_size=2000), size=st.integers(1, 500), kind=st.sampled_from(KINDS))
def test_what_is_compressed_comes_back(data: bytes, size: int, kind: Compression) -> None:
    packed = b"".join(compress(cut(data, size), kind))

    assert (packed if kind == "none" else inflated(packed)) == data


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_threads_and_cuts_do_not_change_the_bytes(kind: Compression) -> None:
    data = TEXT * 70  # more than two blocks of each kind

    packed = {
        b"".join(compress(cut(data, size), kind, threads=threads))
        for size, threads in [(len(data), 1), (len(data), 3), (1 << 20, 2), (333_333, 5), (4099, None)]
    }

    assert len(packed) == 1
    assert inflated(*packed) == data


@pytest.mark.parametrize(("kind", "level"), [*(("gzip", n) for n in range(1, 10)), *(("zstd", n) for n in (1, 3, 19))])
def test_other_programs_read_every_level(kind: Compression, level: int) -> None:
    packed = b"".join(compress([TEXT * 15], kind, level))

    done = subprocess.run([kind, "-dc"], input=packed, stdout=subprocess.PIPE, check=True)

    assert done.stdout == TEXT * 15
    if kind == "gzip":
        member = zlib.decompressobj(wbits=31)
        assert member.decompress(packed) == TEXT * 15
        assert member.eof and not member.unused_data


def test_gzip_says_neither_name_nor_time() -> None:
    assert b"".join(compress([b"x"], "gzip"))[:10].hex() == "1f8b08000000000000ff"


@pytest.mark.needs("sse4_2")
def test_the_bytes_of_gzip_are_those_of_every_other_machine() -> None:
    digests = {n: hashlib.sha256(b"".join(compress([TEXT * 70], "gzip", n))).hexdigest()[:16] for n in (1, 2)}

    assert digests == {1: "a75126eff0f59830", 2: "69d5fa11137d90f7"}


def test_nothing_compresses_to_a_whole_stream() -> None:
    for kind in ("gzip", "zstd"):
        packed = b"".join(compress([], kind))
        assert packed
        assert subprocess.run([kind, "-dc"], input=packed, stdout=subprocess.PIPE, check=True).stdout == b""


@pytest.mark.parametrize(
    ("kind", "level"), [("gzip", 0), ("gzip", 10), ("zstd", 0), ("zstd", 20), ("none", 1), ("lz4", 1), ("lz4", None)]
)
def test_other_kinds_and_levels_are_refused_at_once(kind: Any, level: int | None) -> None:
    with pytest.raises(InvalidArgument):
        compress([], kind, level)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_no_thread_is_left_when_compressing_is_given_up(kind: Compression) -> None:
    packed = compress(itertools.repeat(bytes(1 << 20)), kind, threads=2)
    assert isinstance(packed, Generator)
    next(packed)
    next(packed)

    packed.close()

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pyrt-")]


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_an_error_of_the_stream_passes(kind: Compression) -> None:
    def broken() -> Iterator[bytes]:
        yield bytes(5 << 20)
        raise OSError("cut off")

    with pytest.raises(OSError, match="cut off"):
        list(compress(broken(), kind))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pyrt-")]
