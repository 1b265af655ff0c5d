"""Laws of ingests: in whatever pieces bytes come, and however often they begin again, the blob is the bytes."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.content import LocalStore
from pyrt.errors import DigestMismatch, SizeMismatch
from pyrt.oci.digest import Digest

CHUNKS = st.lists(st.binary(max_size=50), max_size=6)


@contextmanager
def opened() -> Iterator[LocalStore]:
    with tempfile.TemporaryDirectory() as top:
        yield LocalStore(top, durable=False)


def digest_of(algorithm: str, raw: bytes) -> Digest:
    return Digest(algorithm, hashlib.new(algorithm, raw).hexdigest())


@given(st.lists(CHUNKS, max_size=3), CHUNKS, st.sampled_from(["sha256", "sha512"]), st.booleans(), st.booleans())
def test_a_blob_is_its_bytes_in_any_pieces(
    discarded: list[list[bytes]], chunks: list[bytes], algorithm: str, is_known: bool, is_sized: bool
) -> None:
    raw = b"".join(chunks)
    digest = digest_of(algorithm if is_known else "sha256", raw)
    with opened() as store:
        with store.ingest(digest if is_known else None, len(raw) if is_sized else None) as ingest:
            for attempt in discarded:
                for chunk in attempt:
                    if not is_sized or ingest.offset_bytes + len(chunk) <= len(raw):
                        ingest.write(chunk)
                ingest.restart()
            for number, chunk in enumerate(chunks):
                assert ingest.offset_bytes == len(b"".join(chunks[:number]))
                ingest.write(chunk)
            assert ingest.commit() == digest

        assert store.read(digest) == raw
        assert list(store.walk()) == [(digest, len(raw))]


@given(st.binary(max_size=50), CHUNKS, st.booleans())
def test_only_the_announced_bytes_are_committed(announced: bytes, chunks: list[bytes], is_sized: bool) -> None:
    raw = b"".join(chunks)
    with opened() as store:
        try:
            with store.ingest(Digest.of(announced), len(announced) if is_sized else None) as ingest:
                for chunk in chunks:
                    ingest.write(chunk)
                ingest.commit()
        except (SizeMismatch, DigestMismatch) as e:
            assert raw != announced
            assert isinstance(e, SizeMismatch) == (is_sized and len(raw) != len(announced))
            assert list(store.walk()) == []
        else:
            assert raw == announced
            assert store.read(Digest.of(announced)) == announced
        assert store.clean() == 0


@given(st.sets(st.binary(max_size=5)), st.sets(st.binary(max_size=5)))
def test_collect_keeps_the_living_and_counts_the_rest(there: set[bytes], living: set[bytes]) -> None:
    with opened() as store:
        for raw in there:
            store.add(raw)

        freed = store.collect({Digest.of(raw) for raw in living})

        assert freed == sum(map(len, there - living))
        assert {digest for digest, _ in store.walk()} == {Digest.of(raw) for raw in there & living}


def test_a_wrong_digest_is_not_only_a_wrong_size() -> None:
    with opened() as store, store.ingest(Digest.of(b"a"), 1) as ingest:
        ingest.write(b"b")
        with pytest.raises(DigestMismatch):
            ingest.commit()
