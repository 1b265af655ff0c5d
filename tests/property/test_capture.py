"""What sinks keep does not depend on the pieces in which a stream comes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyrt.runtime.capture import Capture, Lines

CHUNKS = st.lists(st.binary(max_size=12), max_size=12)
LINES = st.lists(st.text("ab\n", max_size=12).map(str.encode), max_size=12)


@given(CHUNKS, st.none() | st.integers(0, 40))
def test_head_tail_and_what_is_between(chunks: list[bytes], limit: int | None) -> None:
    capture = Capture(limit)
    for chunk in chunks:
        capture.feed(chunk)
    whole = b"".join(chunks)

    capture.finish()

    assert capture.total_bytes == len(whole)
    if limit is None or len(whole) <= limit:
        assert (capture.bytes(), capture.omitted_bytes, capture.is_over) == (whole, 0, False)
        return
    omitted = len(whole) - limit
    head, tail = whole[: limit - limit // 2], whole[len(whole) - limit // 2 :]
    assert (capture.omitted_bytes, capture.is_over) == (omitted, True)
    assert capture.bytes() == head + b"\n[... %d bytes left out ...]\n" % omitted + tail


@given(st.integers(0, 300_000), st.integers(1, 100_000), st.integers(0, 5000))
def test_a_limit_bounds_what_is_held(total: int, piece: int, limit: int) -> None:
    capture = Capture(limit)
    stream = bytes(range(256)) * (total // 256 + 1)
    for at in range(0, total, piece):
        capture.feed(stream[at : min(at + piece, total)])

    assert len(capture.bytes()) <= limit + 60
    assert capture.total_bytes == total


@given(LINES, st.integers(1, 8))
def test_lines_are_those_of_the_whole(chunks: list[bytes], limit: int) -> None:
    got: list[bytes] = []
    lines = Lines(got.append, limit)
    for chunk in chunks:
        lines.feed(chunk)
    lines.finish()

    *whole, last = b"".join(chunks).split(b"\n")
    wanted = [line[at : at + limit] for line in whole for at in range(0, max(len(line), 1), limit)]
    assert got == wanted + [last[at : at + limit] for at in range(0, len(last), limit)]
    assert not lines.is_over
