"""Laws of logs: what was written is what is read, as json.loads reads it, wherever blocks and files end."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from pyrt.container import read_logs
from pyrt.container.log_lines import parse_block
from pyrt.state import journal, stamp
from tests.unit.container.logfiles import Writer

MOMENTS = st.integers(0, 4_000_000_000 * 10**9)
LETTERS = st.characters(exclude_categories=["Cs"]) | st.sampled_from('\n\\"{}u\0\x1f,:')
TEXTS = st.text(LETTERS) | st.sampled_from(['{"log":"', '","stream":"stderr","time":"', "\\n", "\\"])
LINES = st.tuples(TEXTS, st.sampled_from(["stdout", "stderr"]), MOMENTS)


@given(st.lists(LINES), st.sets(st.integers(0, 10)), st.integers(-1, 12), st.integers(1, 500))
def test_what_was_written_comes_back(
    lines: list[tuple[str, str, int]], rotations: set[int], tail: int, block_bytes: int
) -> None:
    with tempfile.TemporaryDirectory() as top, patch.object(journal, "BLOCK_BYTES", block_bytes):
        writer = Writer(Path(top))
        for at, (text, stream, time_ns) in enumerate(lines):
            writer.write(text, stream=stream, time_ns=time_ns)
            if at in rotations:
                writer.rotate()

        read = [(line.text.decode(), line.stream, line.time_ns) for line in read_logs(top, tail=tail)]

    assert read == lines[max(0, len(lines) - tail) if tail >= 0 else 0 :]


@given(st.lists(LINES), st.booleans(), st.sampled_from([(",", ":"), (", ", ": ")]))
def test_json_is_the_oracle(lines: list[tuple[str, str, int]], ascii: bool, separators: tuple[str, str]) -> None:
    rows = [
        json.dumps({"log": text, "stream": stream, "time": stamp(time)}, ensure_ascii=ascii, separators=separators)
        for text, stream, time in lines
    ]
    block = "".join(f"{row}\n" for row in rows).encode()
    wanted = [json.loads(row) for row in block.split(b"\n")[:-1]]

    read = [
        {"log": line.text.decode(), "stream": line.stream, "time": line.stamp.decode()} for line in parse_block(block)
    ]

    assert read == wanted


@given(st.lists(st.binary() | st.sampled_from([b'{"log":"', b"\n", b'","stream":"stdout","time":"'])))
def test_no_garbage_stops_the_reading(parts: list[bytes]) -> None:
    good = b'{"log":"good","stream":"stdout","time":"2024-01-01T00:00:00Z"}\n'

    read = parse_block(b"".join(parts) + b"\n" + good)

    assert [line.text for line in read] == [b"good"]
