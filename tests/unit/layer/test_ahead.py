from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.layer import ahead, hashed


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "pyrt-ahead"]


class Upstream:
    """Chunks that count how many were taken, and whether they were closed, and where."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks = chunks
        self.taken = 0
        self.more = threading.Semaphore(0)
        self.closed_in: list[str] = []

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self.chunks)
        self.taken += 1
        self.more.release()
        return chunk

    def close(self) -> None:
        self.closed_in.append(threading.current_thread().name)


@given(chunks=st.lists(st.binary(max_size=30)), limit=st.integers(1, 100))
def test_the_chunks_arrive_as_they_are(chunks: list[bytes], limit: int) -> None:
    with ahead(chunks, limit) as stream:
        assert list(stream) == chunks


def test_the_thread_waits_at_the_limit() -> None:
    upstream = Upstream(itertools.repeat(bytes(10)))

    with ahead(upstream, 50) as stream:
        for _ in range(6):
            upstream.more.acquire()
        assert not upstream.more.acquire(timeout=0.05)
        next(stream)
        upstream.more.acquire()
        assert not upstream.more.acquire(timeout=0.05)

    assert upstream.taken == 7  # five unread, one read, one in the hand of the thread


def test_one_chunk_may_be_larger_than_the_limit() -> None:
    with ahead([bytes(1000), bytes(2000)], 1) as stream:
        assert [len(chunk) for chunk in stream] == [1000, 2000]


def test_an_error_comes_after_the_chunks_before_it() -> None:
    def broken() -> Iterator[bytes]:
        yield b"one"
        yield b"two"
        raise OSError("cut off")

    got = []
    with pytest.raises(OSError, match="cut off"), ahead(broken()) as stream:
        for chunk in stream:
            got.append(chunk)

    assert got == [b"one", b"two"]


def test_after_the_end_there_is_nothing_more() -> None:
    with ahead([b"x"]) as stream:
        assert list(stream) == [b"x"]
        assert next(stream, None) is None


def test_leaving_early_closes_the_upstream_in_its_thread() -> None:
    upstream = Upstream(itertools.repeat(bytes(10)))

    with ahead(upstream, 20) as stream:
        next(stream)

    assert upstream.closed_in == ["pyrt-ahead"]
    assert upstream.taken <= 4


def test_a_generator_is_ended_when_the_reader_fails() -> None:
    ended = []

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield bytes(10)
        finally:
            ended.append(threading.current_thread().name)

    with pytest.raises(ZeroDivisionError), ahead(endless(), 20) as stream:
        next(stream)
        raise ZeroDivisionError

    assert ended == ["pyrt-ahead"]


def test_what_is_raised_after_leaving_is_not_wanted() -> None:
    class Failing(Upstream):
        def close(self) -> None:
            super().close()
            raise OSError("close")

    upstream = Failing(itertools.repeat(bytes(10)))

    with ahead(upstream, 20) as stream:
        assert next(stream) == bytes(10)

    assert upstream.closed_in


def test_a_whole_stream_whose_close_fails_has_failed() -> None:
    class Failing(Upstream):
        def close(self) -> None:
            raise OSError("close")

    with pytest.raises(OSError, match="close"), ahead(Failing(iter([b"x"]))) as stream:
        list(stream)


def test_stages_may_be_stacked() -> None:
    data = [bytes([n]) * 100_000 for n in range(200)]

    with ahead(data, 1 << 18) as first, ahead(first, 1 << 18) as second:
        assert list(second) == data


def test_the_interpreter_ends_where_nobody_has_left_the_context() -> None:
    program = """
import itertools
from pyrt.layer import ahead
def pieces():
    with ahead(itertools.repeat(bytes(10)), 50) as stream:
        yield from stream
kept = pieces()
next(kept)
print("end")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout) == (0, "end\n")


def test_hashed_passes_chunks_counts_and_hashes() -> None:
    hasher = hashlib.sha256()
    stream = hashed([b"one", b"", b"three"], hasher)

    assert (next(stream), stream.size_bytes) == (b"one", 3)
    assert list(stream) == [b"", b"three"]

    assert stream.size_bytes == 8
    assert hasher.hexdigest() == hashlib.sha256(b"onethree").hexdigest()
