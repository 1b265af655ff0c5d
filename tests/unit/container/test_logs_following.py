from __future__ import annotations

import gc
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from pyrt.container import follow_logs
from tests.unit.container.logfiles import Writer, json_line
from tests.unit.state.children import child

WRITE = """
from pathlib import Path
from tests.unit.container.logfiles import Writer
writer = Writer(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    writer.write(f"{number}\\n")
    if number % 7 == 6:
        writer.rotate()
"""


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


def numbers(count: int) -> list[bytes]:
    return [b"%d\n" % number for number in range(count)]


def test_no_line_is_lost_or_doubled_across_rotations(tmp_path: Path) -> None:
    with child(WRITE, tmp_path, "3000") as process:
        with follow_logs(tmp_path, ended=lambda: process.poll() is not None) as following:
            texts = [line.text for line in following]
        assert process.wait() == 0

    assert texts == numbers(3000)


def test_a_reader_that_keeps_up_sees_every_line(tmp_path: Path, writer: Writer) -> None:
    writer.write("0\n")
    with follow_logs(tmp_path, ended=lambda: False) as following:
        seen = []
        for number in range(1, 200):
            seen.append(next(following).text)
            for _ in range(number % 4):
                writer.rotate()
            writer.write(f"{number}\n")

    assert seen == numbers(199)


def test_what_a_late_reader_missed_is_what_was_removed(tmp_path: Path) -> None:
    writer = Writer(tmp_path, files=3)
    writer.write("0\n")
    with follow_logs(tmp_path, ended=lambda: True) as following:
        first = next(following).text
        for number in range(1, 10):
            writer.rotate()
            writer.write(f"{number}\n")
        rest = [line.text for line in following]

    assert [first, *rest] == [b"0\n", b"7\n", b"8\n", b"9\n"]


def test_a_log_that_is_not_there_yet_is_waited_for(tmp_path: Path, writer: Writer) -> None:
    with follow_logs(tmp_path, ended=lambda: False) as following:
        timer = threading.Timer(0.05, lambda: writer.write("first\n"))
        timer.start()
        assert next(following).text == b"first\n"
        timer.join()


def test_a_torn_line_is_waited_for(tmp_path: Path, writer: Writer) -> None:
    line = json_line("whole\n")
    writer.raw(line[:30])
    with follow_logs(tmp_path, ended=lambda: False) as following:
        timer = threading.Timer(0.05, lambda: writer.raw(line[30:]))
        timer.start()
        assert next(following).text == b"whole\n"
        timer.join()


def test_what_was_written_before_the_end_is_given(tmp_path: Path, writer: Writer) -> None:
    asked = []

    def ended() -> bool:
        asked.append(True)
        writer.write("last\n")
        return True

    with follow_logs(tmp_path, ended=ended) as following:
        assert [line.text for line in following] == [b"last\n"]
    assert asked == [True]


def test_the_end_of_a_container_ends_the_wait(tmp_path: Path, writer: Writer) -> None:
    writer.write("a\n")
    state = tmp_path / "state"
    with follow_logs(tmp_path, ended=state.exists) as following:
        assert next(following).text == b"a\n"
        timer = threading.Timer(0.05, state.touch)
        timer.start()
        assert list(following) == []
        timer.join()


def test_the_tail_is_followed(tmp_path: Path, writer: Writer) -> None:
    writer.write("a\n", "b\n")
    writer.rotate()
    writer.write("c\n")

    for tail, wanted in ((0, [b"d\n"]), (2, [b"b\n", b"c\n", b"d\n"]), ("all", [b"a\n", b"b\n", b"c\n", b"d\n"])):
        with follow_logs(tmp_path, ended=lambda: True, tail=tail) as following:
            size = writer.path.stat().st_size
            writer.write("d\n")
            assert [line.text for line in following] == wanted
        os.truncate(writer.path, size)


def test_it_ends_at_its_time(tmp_path: Path, writer: Writer) -> None:
    now = time.time()
    writer.write("a\n", time_ns=int(now * 1e9))

    with follow_logs(tmp_path, ended=lambda: False, until=now + 0.1) as following:
        assert [line.text for line in following] == [b"a\n"]

    assert time.time() >= now + 0.1


def test_another_thread_closes_it(tmp_path: Path, writer: Writer) -> None:
    following = follow_logs(tmp_path, ended=lambda: False)
    timer = threading.Timer(0.05, following.close)
    timer.start()

    assert list(following) == []

    timer.join()
    following.close()
    assert list(following) == []


def test_one_that_is_forgotten_warns(tmp_path: Path) -> None:
    following = follow_logs(tmp_path, ended=lambda: False)

    with pytest.warns(ResourceWarning, match="not closed"):
        del following
        gc.collect()


def test_ctrl_c_ends_it(tmp_path: Path) -> None:
    program = """
from pyrt.container import follow_logs
following = follow_logs(sys.argv[1], ended=lambda: print("waits", flush=True))
try:
    next(following)
except KeyboardInterrupt:
    print("interrupted", len(os.listdir("/proc/self/fd")))
"""
    with child(program, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)

    assert output == "interrupted 4\n", errors
