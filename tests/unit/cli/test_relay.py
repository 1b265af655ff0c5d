"""The head and the tail of a stream, and copies that never wait."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from pyrt.cli.relay import Clip, Copy


@given(st.binary(max_size=400), st.integers(0, 300), st.integers(1, 90))
def test_a_clip_shows_head_and_tail_and_counts_the_rest(stream: bytes, limit: int, step: int) -> None:
    clip = Clip(limit)

    shown = b"".join(clip.feed(stream[at : at + step]) for at in range(0, len(stream), step)) + clip.finish()

    if len(stream) <= limit:
        assert shown == stream
        return
    head, tail = (limit + 1) // 2, limit // 2
    note = b"\n[... %d bytes left out ...]\n" % (len(stream) - limit)
    assert shown == stream[:head] + note + stream[len(stream) - tail :]


def test_a_clip_needs_no_more_memory_than_its_limit() -> None:
    clip, chunk = Clip(1000), bytes(65536)

    for _ in range(200):
        clip.feed(chunk)

    assert len(clip._tail) <= 2 * 500 + 2 * 65536
    assert b"[... %d bytes left out ...]" % (200 * 65536 - 1000) in clip.finish()


def test_a_copy_reads_no_further_than_it_can_write() -> None:
    out, source = os.pipe()
    target, into = os.pipe()
    try:
        copy = Copy(out, into, own=out)
        os.write(source, b"one")
        copy.step()
        os.write(source, b"two")
        interest = copy.interest()
        assert interest is not None and interest[0] == into
        copy.step()
        assert os.read(target, 100) == b"one"

        os.close(source)
        while not copy.is_over:
            copy.step()
        assert os.read(target, 100) == b"two"
        assert not copy.is_broken
    finally:
        for fd in (out, target, into):
            os.close(fd)


def test_a_copy_drains_what_is_there_though_the_pipe_stays_open() -> None:
    out, source = os.pipe()
    target, into = os.pipe()
    try:
        copy = Copy(out, into, own=out)
        os.write(source, b"last words")
        copy.drain()
        while not copy.is_over:
            copy.step()
            copy.drain()
        assert os.read(target, 100) == b"last words"
    finally:
        for fd in (out, source, target, into):
            os.close(fd)


def test_a_copy_to_nobody_is_broken() -> None:
    out, source = os.pipe()
    target, into = os.pipe()
    os.close(target)
    try:
        copy = Copy(out, into, own=out)
        os.write(source, b"x")
        copy.step()
        copy.step()
        assert copy.is_broken and copy.is_over and copy.interest() is None
    finally:
        for fd in (out, source, into):
            os.close(fd)
