from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pyrt.container import LogLine, log_bytes, printed_logs, read_logs
from pyrt.errors import InvalidOption
from tests.unit.container.logfiles import Writer, json_line
from tests.unit.state.children import child

SECOND = 1_000_000_000
WRITE = """
from pathlib import Path
from tests.unit.container.logfiles import Writer
writer = Writer(Path(sys.argv[1]), files=20)
for number in range(1 << 30):
    writer.write(f"{number}\\n")
    if number == 50:
        print("writes", flush=True)
    if number % 2:
        writer.rotate()
"""


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


def texts(directory: Path, **options: Any) -> list[str]:
    return [line.text.decode() for line in read_logs(directory, **options)]


def test_a_line_has_its_stream_its_text_and_its_time(tmp_path: Path, writer: Writer) -> None:
    writer.write("out\n", time_ns=5 * SECOND + 7)
    writer.write("err", stream="stderr")

    first, second = read_logs(tmp_path)

    assert first == LogLine("stdout", b"out\n", b"1970-01-01T00:00:05.000000007Z")
    assert first.time_ns == 5 * SECOND + 7
    assert (second.stream, second.text) == ("stderr", b"err")


def test_a_container_that_has_not_run_has_no_lines(tmp_path: Path) -> None:
    assert texts(tmp_path) == []
    assert texts(tmp_path, tail=3) == []


def test_dockers_own_lines_are_read(tmp_path: Path, writer: Writer) -> None:
    writer.raw(rb'{"log":"\u003ca\u003e \ufffd\t\"\\\n","stream":"stdout","time":"2024-02-29T12:00:00.5Z"}' + b"\n")
    writer.raw(b'{"log":"x\\n","stream":"stderr","attrs":{"tag":"a"},"time":"2024-02-29T12:00:00Z"}\n')
    writer.raw(b'{"stream":"stdout","time":"2024-02-29T12:00:00Z"}\n')

    lines = list(read_logs(tmp_path))

    assert [line.text.decode() for line in lines] == ['<a> �\t"\\\n', "x\n", ""]
    assert lines[0].stamp == b"2024-02-29T12:00:00.500000000Z"
    assert lines[1].time_ns == datetime(2024, 2, 29, 12, tzinfo=UTC).timestamp() * SECOND


@pytest.mark.parametrize(
    "garbage",
    [
        b"garbage",
        b"\0" * 4096,
        b'{"log":"no end',
        b'{"log":"\\x","stream":"stdout","time":"2024-01-01T00:00:00Z"}',
        b'{"log":"\xff","stream":"stdout","time":"2024-01-01T00:00:00Z"}',
        b'{"log":"a\tb","stream":"stdout","time":"2024-01-01T00:00:00Z"}',
        b'{"log":"a","stream":"stdin","time":"2024-01-01T00:00:00Z"}',
        b'{"log":"a","stream":"stdout","time":"2024-13-01T00:00:00Z"}',
        b'{"log":1,"stream":"stdout","time":"2024-01-01T00:00:00Z"}',
        b'{"log":"a","stream":["stdout"],"time":null}',
        b"[" * 100_000,
        b"",
        b"7",
    ],
)
def test_garbage_costs_no_other_line(tmp_path: Path, writer: Writer, garbage: bytes) -> None:
    writer.write("before\n")
    writer.raw(garbage + b"\n")
    writer.write("after\n")

    assert texts(tmp_path) == ["before\n", "after\n"]
    assert texts(tmp_path, tail=2) == ["before\n", "after\n"]


def test_a_line_after_one_that_was_cut_off_is_read(tmp_path: Path, writer: Writer) -> None:
    line = json_line("one\n")
    for end in range(1, len(line) - 2):
        writer.raw(line[:end])
        writer.write(f"after {end}\n")

    assert texts(tmp_path) == [f"after {end}\n" for end in range(1, len(line) - 2)]


def test_a_container_cannot_write_lines_of_its_own(tmp_path: Path, writer: Writer) -> None:
    writer.write(json_line("forged\n").decode())
    writer.raw(json_line(json_line("forged\n").decode())[:-20])
    writer.write("next\n")

    assert texts(tmp_path) == [json_line("forged\n").decode(), "next\n"]


def test_a_last_line_without_an_end_is_left_out(tmp_path: Path, writer: Writer) -> None:
    writer.write("whole\n")
    writer.raw(json_line("torn\n")[:-1])

    assert texts(tmp_path) == texts(tmp_path, tail=1) == ["whole\n"]


def test_a_line_without_end_takes_no_memory(tmp_path: Path, writer: Writer) -> None:
    writer.write("before\n")
    for _ in range(5):
        writer.raw(b"x" * (1 << 20))
    writer.raw(b"\n")
    writer.write("after\n")

    assert texts(tmp_path) == ["before\n", "after\n"]
    assert texts(tmp_path, tail=2) == ["before\n", "after\n"]
    assert texts(tmp_path, tail=1) == ["after\n"]


@pytest.mark.parametrize("width", [1, 1000, 90_000])
def test_the_tail_goes_over_blocks_and_files(tmp_path: Path, writer: Writer, width: int) -> None:
    written = [f"{number} {'x' * width}\n" for number in range(30)]
    for number, text in enumerate(written):
        writer.write(text)
        if number % 10 == 9:
            writer.rotate()

    for count in (0, 1, 9, 10, 11, 25, 29, 30, 31, 1000):
        assert texts(tmp_path, tail=count) == written[len(written) - min(count, 30) :]
        assert printed_logs(tmp_path, ended=lambda: True, tail=count) == "".join(texts(tmp_path, tail=count)).encode()
    assert texts(tmp_path, tail="all") == texts(tmp_path, tail=-1) == texts(tmp_path, tail="30") == written


def test_a_reader_sees_no_gap_while_files_are_rotated(tmp_path: Path) -> None:
    with child(WRITE, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writes\n"
        for _ in range(300):
            seen = [int(text) for text in texts(tmp_path)]
            assert seen == list(range(seen[0], seen[0] + len(seen)))
            tail = [int(text) for text in texts(tmp_path, tail=3)]
            assert tail == list(range(tail[0], tail[0] + 3))
        assert process.poll() is None


def test_what_was_compressed_is_read_too(tmp_path: Path, writer: Writer) -> None:
    for number in range(6):
        writer.write(f"{number}a\n", f"{number}b\n")
        writer.rotate()
    for number in (2, 3, 4, 5, 6):
        (tmp_path / f"log.{number}.gz").write_bytes(gzip.compress(writer.at(number).read_bytes()))
        writer.at(number).unlink()

    assert texts(tmp_path) == [f"{number}{letter}\n" for number in range(6) for letter in "ab"]
    assert texts(tmp_path, tail=5) == ["3b\n", "4a\n", "4b\n", "5a\n", "5b\n"]


def test_a_damaged_archive_costs_no_other_file(tmp_path: Path, writer: Writer) -> None:
    for number in range(3):
        writer.write(f"{number}\n")
        writer.rotate()
    packed = gzip.compress(writer.at(2).read_bytes() * 1000)
    (tmp_path / "log.2.gz").write_bytes(packed[: len(packed) // 2])
    writer.at(2).unlink()

    assert texts(tmp_path)[0] == "0\n"
    assert texts(tmp_path)[-1] == "2\n"


def test_a_tail_reads_no_more_than_it_needs(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        file.truncate(1 << 40)  # a hole: who reads it does not come back
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + json_line("a\n") + json_line("b\n"))

    assert texts(tmp_path, tail=2) == ["a\n", "b\n"]


def test_each_line_is_chosen_by_its_own_time(tmp_path: Path, writer: Writer) -> None:
    for second in (10, 20, 5, 30):  # the clock was set back
        writer.write(f"{second}\n", time_ns=second * SECOND)

    assert texts(tmp_path, since=10) == ["10\n", "20\n", "30\n"]
    assert texts(tmp_path, until=10) == ["10\n", "5\n"]
    assert texts(tmp_path, since=datetime(1970, 1, 1, 0, 0, 20), until=20.0) == ["20\n"]
    assert texts(tmp_path, since="1970-01-01T00:00:20.000000001Z") == ["30\n"]
    assert texts(tmp_path, since="1m") == []
    assert texts(tmp_path, tail=2, since=10) == ["30\n"]  # as docker: the tail first


def test_streams_are_chosen(tmp_path: Path, writer: Writer) -> None:
    writer.write("out\n")
    writer.write("err\n", stream="stderr")

    assert texts(tmp_path, stderr=False) == ["out\n"]
    assert texts(tmp_path, stdout=False) == ["err\n"]
    assert texts(tmp_path, stdout=False, stderr=False) == []


def test_bytes_are_those_of_docker_logs(tmp_path: Path, writer: Writer) -> None:
    writer.write("a\n", "b", time_ns=SECOND)

    stamp = b"1970-01-01T00:00:01.000000000Z"
    assert printed_logs(tmp_path, ended=lambda: False, follow=False) == b"a\nb"
    assert printed_logs(tmp_path, ended=lambda: True, follow=True) == b"a\nb"
    assert printed_logs(tmp_path, ended=lambda: True, timestamps=True) == stamp + b" a\n" + stamp + b" b"
    assert list(printed_logs(tmp_path, ended=lambda: True, stream=True)) == [b"a\n", b"b"]
    assert list(printed_logs(tmp_path, ended=lambda: False, stream=True, follow=False)) == [b"a\n", b"b"]
    assert list(log_bytes(read_logs(tmp_path), timestamps=True)) == [stamp + b" a\n", stamp + b" b"]


@pytest.mark.parametrize(
    "options",
    [{"tail": "ten"}, {"tail": None}, {"since": "yesterday"}, {"until": True}, {"since": float("nan")}],
)
def test_bad_options_are_refused_at_once(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match=next(iter(options))):
        read_logs(tmp_path, **options)
    with pytest.raises(InvalidOption, match=next(iter(options))):
        printed_logs(tmp_path, ended=lambda: True, **options)
