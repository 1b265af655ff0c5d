"""csrc/init/monitor*.c: the layouts that both sides pack, and the log writer against Python's json and datetime."""

from __future__ import annotations

import codecs
import json
import os
import shutil
import struct
import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from pathlib import Path

import pytest
from cffi import FFI
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrt.runtime import protocol
from tests.native.library import CSRC, NATIVE, compile_c, declarations

PIECE = 16384
HEADER = CSRC / "prt_monitor.h"


@pytest.fixture(scope="module")
def header() -> FFI:
    """What the header declares."""
    ffi = FFI()
    ffi.cdef(declarations(HEADER))
    return ffi


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log writer as a program, under ASan and UBSan."""
    flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
    sources = [NATIVE / "log_writer.c", CSRC / "init/monitor_log.c"]
    return compile_c(tmp_path_factory.mktemp("log") / "log_writer", sources, *flags)


@pytest.mark.parametrize(
    ("name", "prefix", "kind"),
    [
        ("order", "PRT_ORDER_", protocol.Order),
        ("message", "PRT_MESSAGE_", protocol.Message),
        ("attach", "PRT_ATTACH_", protocol.Attach),
        ("policy", "PRT_POLICY_", protocol.Policy),
        ("start_flag", "PRT_START_", protocol.StartFlag),
    ],
)
def test_the_numbers_are_those_of_the_header(header: FFI, name: str, prefix: str, kind: type[IntEnum]) -> None:
    found = header.typeof(f"enum prt_{name}").relements

    assert {each.removeprefix(prefix): value for each, value in found.items()} == {
        name: member.value for name, member in kind.__members__.items()
    }


def test_the_words_for_a_status_are_those_of_the_header(header: FFI) -> None:
    found = header.typeof("enum prt_status").relements

    assert {value: name.removeprefix("PRT_STATUS_").lower() for name, value in found.items()} == protocol._STATUS


def test_the_constants_are_those_of_the_header() -> None:
    text = HEADER.read_text()

    assert f"#define PRT_MONITOR_CHUNK {protocol.CHUNK_BYTES} " in text
    assert f"#define PRT_STATE_MAGIC {protocol.MAGIC:#x}u" in text
    assert f"#define MONITOR_FDS {protocol.MAX_FDS} " in (CSRC / "init/monitor.h").read_text()


def numbered(layout: struct.Struct) -> bytes:
    """Give a packet in which each field has another number."""
    sizes = layout.format.lstrip("=")
    return layout.pack(*(b"name" if "s" in sizes and number == 13 else number + 1 for number in range(count(layout))))


def count(layout: struct.Struct) -> int:
    return len(layout.unpack(bytes(layout.size)))


def fields(header: FFI, name: str, raw: bytes) -> list[int | bytes]:
    """Read the fields of a struct, but for what is reserved, as C lays them out."""
    value = header.from_buffer(f"struct {name} *", bytearray(raw))
    said: list[int | bytes] = []
    for field, _ in header.typeof(f"struct {name}").fields:
        if field in ("reserved", "padding"):
            continue
        found = getattr(value, field)
        said.append(bytes(header.buffer(found)).rstrip(b"\0") if isinstance(found, FFI.CData) else found)
    return said


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("prt_packet", protocol.PACKET),
        ("prt_monitor_start", protocol.START),
        ("prt_monitor_state", protocol.STATE),
    ],
)
def test_the_layouts_are_those_of_the_header(header: FFI, name: str, layout: struct.Struct) -> None:
    assert header.sizeof(f"struct {name}") == layout.size
    expected: list[int | bytes] = list(range(1, count(layout) + 1))
    if name == "prt_monitor_state":
        expected[13] = b"name"
    if name == "prt_monitor_start":
        expected.pop()  # reserved

    assert fields(header, name, numbered(layout)) == expected


CHUNKS = st.lists(
    st.tuples(
        st.sampled_from([1, 2]),
        st.one_of(
            st.binary(max_size=60),
            st.text(max_size=30).map(lambda text: text.encode()),
            st.builds(lambda text, count: text.encode() * count, st.text(max_size=3), st.integers(1, 12000)),
            st.sampled_from([b"\n", b"\r\n", b"\xe2\x82", b"\xac", b"\xf0\x9f", b'"\\\b\t\x7f', b"x" * (PIECE - 1)]),
        ),
    ),
    max_size=12,
)


def each_byte(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd", error.start + 1


codecs.register_error("each_byte", each_byte)


def logged(directory: Path) -> list[dict[str, str]]:
    """Read the lines of a log and of what it was rotated to, the oldest first."""
    names = sorted(directory.glob("log*"), key=lambda path: -int(path.suffix[1:] or 0))
    return [json.loads(line) for path in names for line in path.read_bytes().splitlines()]


@settings(max_examples=60)
@given(chunks=CHUNKS, max_bytes=st.sampled_from([0, 0, 300, 20000]))
def test_every_byte_is_logged_in_lines_of_json(writer: Path, chunks: list[tuple[int, bytes]], max_bytes: int) -> None:
    frames = b"".join(struct.pack("=II", stream, len(each)) + each for stream, each in chunks)
    directory = Path(tempfile.mkdtemp(prefix="pyrt-log-"))
    try:
        subprocess.run([writer, str(max_bytes), "20"], input=frames, cwd=directory, check=True)
        lines = logged(directory)
        sizes = [path.stat().st_size for path in directory.glob("log.*")]
    finally:
        shutil.rmtree(directory)

    for stream, name in ((1, "stdout"), (2, "stderr")):
        sent = b"".join(each for to, each in chunks if to == stream)
        mine = [line["log"] for line in lines if line["stream"] == name]
        whole, said = sent.decode(errors="each_byte"), "".join(mine)
        assert said == whole or (len(sizes) == 19 and whole.endswith(said))  # the oldest go
        for piece in mine[:-1]:
            assert piece.endswith("\n") or PIECE - 3 <= len(piece.replace("\ufffd", "x").encode()) <= PIECE
        assert not any("\n" in piece[:-1] for piece in mine)
    moments = [line["time"] for line in lines]
    assert moments == sorted(moments)
    assert all(size >= max_bytes for size in sizes)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=50))
@settings(max_examples=30)
def test_dates(writer: Path, moments: list[int]) -> None:
    done = subprocess.run(
        [writer, "time"], input=struct.pack(f"={len(moments)}Q", *moments), check=True, capture_output=True
    )

    for said, moment in zip(done.stdout.decode().splitlines(), moments, strict=True):
        seconds, rest = divmod(moment, 10**9)
        date = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        assert said == f"{date:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def test_a_torn_line_is_left_behind(writer: Path, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b'{"log":"whole\\n"}\n{"log":"to')
    frames = struct.pack("=II", 1, 4) + b"new\n"

    subprocess.run([writer, "0", "1"], input=frames, cwd=tmp_path, check=True)

    first, torn, last = (tmp_path / "log").read_text().splitlines()
    assert (first, torn, json.loads(last)["log"]) == ('{"log":"whole\\n"}', '{"log":"to', "new\n")
    assert os.listdir(tmp_path) == ["log"]
