from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
WRITE = """
import sys
from pyrt.cli.logs import write_lines
from pyrt.container import LogLine
stamp = b"2026-01-01T00:00:00.000000000Z"
lines = [LogLine(stream, text, stamp) for stream, text in
         [("stdout", b"a\\n"), ("stderr", b"b\\xff\\n"), ("stdout", b"c"), ("stdout", b"d\\n"), ("stderr", b"e\\n")]]
write_lines(iter(lines), timestamps="timestamps" in sys.argv, at_once="at_once" in sys.argv)
"""


def written(*words: str, stderr: int = subprocess.PIPE) -> tuple[bytes, bytes | None]:
    command = [sys.executable, "-c", WRITE, *words]
    done = subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, stderr=stderr, check=True, timeout=60)
    return done.stdout, done.stderr


def test_each_line_goes_to_its_stream() -> None:
    assert written() == (b"a\ncd\n", b"b\xff\ne\n")


def test_lines_keep_their_order_where_both_streams_are_one() -> None:
    assert written(stderr=subprocess.STDOUT) == (b"a\nb\xff\ncd\ne\n", None)
    assert written("at_once", stderr=subprocess.STDOUT) == (b"a\nb\xff\ncd\ne\n", None)


def test_each_line_has_its_time_where_it_is_asked_for() -> None:
    stamp = b"2026-01-01T00:00:00.000000000Z "

    assert written("timestamps")[1] == stamp + b"b\xff\n" + stamp + b"e\n"
