from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from pyrt._native import syscalls
from pyrt.container import compress_rotated, follow_logs, log_compression, read_logs
from tests.unit.container.logfiles import Writer
from tests.unit.state.children import child

COMPRESS = """
from pyrt.container import compress_rotated
print("compresses", flush=True)
while not os.path.exists(sys.argv[1] + "/done"):
    compress_rotated(sys.argv[1])
"""


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


def fill(writer: Writer, files: int) -> None:
    for number in range(files):
        writer.write(f"{number}\n")
        writer.rotate()


def texts(directory: Path) -> list[bytes]:
    return [line.text for line in read_logs(directory)]


def numbers(count: int) -> list[bytes]:
    return [b"%d\n" % number for number in range(count)]


def test_all_but_the_newest_are_compressed_and_read_as_before(tmp_path: Path, writer: Writer) -> None:
    fill(writer, 4)
    names = {path.name for path in tmp_path.iterdir()}

    assert compress_rotated(tmp_path) == 3
    assert compress_rotated(tmp_path) == 0

    assert {path.name for path in tmp_path.iterdir()} == names
    assert writer.at(1).read_bytes().startswith(b'{"log":"3')
    assert [gzip.decompress(writer.at(number).read_bytes())[:9] for number in (2, 3, 4)] == [
        b'{"log":"%d' % number for number in (2, 1, 0)
    ]
    assert texts(tmp_path) == numbers(4)


def test_a_container_without_a_log_has_nothing_to_compress(tmp_path: Path) -> None:
    assert compress_rotated(tmp_path) == 0


def test_a_reader_that_has_a_file_open_goes_on_where_it_was(tmp_path: Path, writer: Writer) -> None:
    writer.write("0\n", "1\n")
    with follow_logs(tmp_path, ended=lambda: True) as following:
        seen = [next(following).text]
        for number in range(2, 6):
            writer.rotate()
            writer.write(f"{number}\n")
        assert compress_rotated(tmp_path) == 3
        seen += [line.text for line in following]

    assert seen == numbers(6)


def test_one_compresses_at_a_time(tmp_path: Path, writer: Writer) -> None:
    fill(writer, 3)
    with child(COMPRESS, tmp_path) as first, child(COMPRESS, tmp_path) as second:
        for number in range(3, 60):
            writer.write(f"{number}\n")
            writer.rotate()
        (tmp_path / "done").touch()
        assert [first.wait(60), second.wait(60)] == [0, 0]

    assert texts(tmp_path) == numbers(60)
    assert not list(tmp_path.glob("*compressing*"))


def test_readers_lose_nothing_while_files_are_compressed_and_rotated(tmp_path: Path, writer: Writer) -> None:
    with child(COMPRESS, tmp_path) as process, follow_logs(tmp_path, ended=(tmp_path / "done").exists) as following:
        seen: list[bytes] = []
        for number in range(300):
            writer.write(f"{number}\n")
            if number % 3 == 0:
                writer.rotate()
            if number % 10 == 0:
                while len(seen) < number + 1 - number // 2 % 7:
                    seen.append(next(following).text)
        (tmp_path / "done").touch()
        seen += [line.text for line in following]
        assert process.wait(60) == 0

    assert seen == texts(tmp_path) == numbers(300)


@pytest.mark.parametrize("rotations", [(1,), (2,), (0, 1), (0, 0, 1)])
def test_a_rotation_just_before_the_exchange_moves_no_file(
    tmp_path: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch, rotations: tuple[int, ...]
) -> None:
    fill(writer, 4)
    left = list(rotations)

    def late(first: str, second: str) -> None:
        for _ in range(left.pop(0) if left else 0):
            writer.rotate()
        syscalls.exchange(first, second)

    monkeypatch.setattr(log_compression, "exchange", late)
    while left:
        compress_rotated(tmp_path)

    assert texts(tmp_path) == numbers(4)
