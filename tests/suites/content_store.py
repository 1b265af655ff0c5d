"""What every ContentStore keeps of its contract. A subclass gives the fixture `store`."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from pyrt.content import ContentStore
from pyrt.errors import BlobNotFound, DigestMismatch, ResourceBusy, SizeMismatch, WrongState
from pyrt.oci.digest import Digest
from tests.unit.state.children import in_fork

__all__ = ["ContentStoreSuite"]

RAW = b"the bytes of a blob" * 1000
DIGEST = Digest.of(RAW)


def sha512(raw: bytes) -> Digest:
    hasher = Digest("sha512", "").hasher()
    hasher.update(raw)
    return Digest("sha512", hasher.hexdigest())


class ContentStoreSuite:
    """Inherit, and give a fixture `store`."""

    def test_a_blob_is_there_under_its_digest(self, store: ContentStore) -> None:
        digest = store.add(RAW)

        assert digest == DIGEST
        assert store.has(digest)
        assert store.size(digest) == len(RAW)
        assert store.read(digest) == RAW
        assert Path(store.path(digest)).read_bytes() == RAW
        with store.open(digest) as file:
            assert file.read() == RAW
        assert list(store.walk()) == [(digest, len(RAW))]

    def test_an_empty_blob_is_a_blob(self, store: ContentStore) -> None:
        assert store.read(store.add(b"")) == b""

    def test_a_blob_that_is_not_there(self, store: ContentStore) -> None:
        assert not store.has(DIGEST)
        for look in (store.size, store.path, store.open, store.read):
            with pytest.raises(BlobNotFound, match=str(DIGEST)):
                look(DIGEST)
        store.delete(DIGEST)
        assert list(store.walk()) == []

    def test_sha512(self, store: ContentStore) -> None:
        digest = sha512(RAW)

        with store.ingest(digest) as ingest:
            ingest.write(RAW)
            assert ingest.commit() == digest

        assert store.read(digest) == RAW
        assert not store.has(DIGEST)

    def test_an_ingest_without_a_digest_finds_it(self, store: ContentStore) -> None:
        with store.ingest(None) as ingest:
            ingest.write(RAW[:100])
            ingest.write(memoryview(RAW)[100:])
            assert ingest.commit() == DIGEST
            assert ingest.is_complete

        assert store.read(DIGEST) == RAW

    def test_nothing_is_visible_before_commit_nor_left_without(self, store: ContentStore) -> None:
        with store.ingest(DIGEST, len(RAW)) as ingest:
            ingest.write(RAW)
            assert not store.has(DIGEST)
            assert list(store.walk()) == []

        assert list(store.walk()) == []
        assert store.clean() == 0

    def test_other_bytes_are_refused_and_may_come_again(self, store: ContentStore) -> None:
        with store.ingest(DIGEST, len(RAW)) as ingest:
            ingest.write(RAW[:-1] + b"!")
            with pytest.raises(DigestMismatch, match=str(DIGEST)):
                ingest.commit()
            assert list(store.walk()) == []

            ingest.restart()
            assert ingest.offset_bytes == 0
            ingest.write(RAW)
            ingest.commit()

        assert store.read(DIGEST) == RAW

    def test_too_few_bytes_are_refused_and_the_rest_may_follow(self, store: ContentStore) -> None:
        with store.ingest(DIGEST, len(RAW)) as ingest:
            ingest.write(RAW[:-1])
            with pytest.raises(SizeMismatch):
                ingest.commit()

            ingest.write(RAW[ingest.offset_bytes :])
            ingest.commit()

        assert store.read(DIGEST) == RAW

    def test_the_first_byte_too_many_is_refused(self, store: ContentStore) -> None:
        with store.ingest(DIGEST, len(RAW)) as ingest:
            ingest.write(RAW)
            with pytest.raises(SizeMismatch):
                ingest.write(b"!")
            assert ingest.offset_bytes == len(RAW)
            ingest.commit()

        assert store.read(DIGEST) == RAW

    def test_what_is_there_is_complete(self, store: ContentStore) -> None:
        store.add(RAW)

        with store.ingest(DIGEST, len(RAW)) as ingest:
            assert ingest.is_complete
            assert ingest.commit() == DIGEST
            with pytest.raises(WrongState):
                ingest.write(RAW)

        assert store.read(DIGEST) == RAW

    def test_a_closed_ingest_takes_nothing(self, store: ContentStore) -> None:
        ingest = store.ingest(DIGEST)
        ingest.close()
        ingest.close()

        with pytest.raises(WrongState):
            ingest.write(RAW)

    @pytest.mark.parametrize("succeeds", [True, False])
    def test_a_second_ingest_waits_for_the_first(self, store: ContentStore, succeeds: bool) -> None:
        asked, found = threading.Event(), []

        def cancelled() -> bool:
            asked.set()
            return False

        def second() -> None:
            with store.ingest(DIGEST, cancelled=cancelled) as ingest:
                found.append((ingest.is_complete, store.has(DIGEST)))

        with store.ingest(DIGEST) as first:
            thread = threading.Thread(target=second)
            thread.start()
            assert asked.wait(60)
            assert not found
            first.write(RAW)
            if succeeds:
                first.commit()
        thread.join()

        assert found == [(succeeds, succeeds)]

    def test_a_wait_can_be_cancelled(self, store: ContentStore) -> None:
        with store.ingest(DIGEST) as first:
            with pytest.raises(ResourceBusy):
                store.ingest(DIGEST, cancelled=lambda: True)
            first.write(RAW)
            first.commit()

        assert store.has(DIGEST)

    def test_only_so_much_is_read(self, store: ContentStore) -> None:
        store.add(RAW)

        with pytest.raises(SizeMismatch, match=str(len(RAW) - 1)):
            store.read(DIGEST, len(RAW) - 1)
        assert store.read(DIGEST, len(RAW)) == RAW

    def test_damage_is_found_when_it_is_read(self, store: ContentStore) -> None:
        path = Path(store.path(store.add(RAW)))
        path.chmod(0o600)
        path.write_bytes(RAW[:-1] + b"!")

        with pytest.raises(DigestMismatch, match=path.name):
            store.read(DIGEST)

    def test_who_has_it_open_keeps_a_deleted_blob(self, store: ContentStore) -> None:
        store.add(RAW)

        with store.open(DIGEST) as file:
            store.delete(DIGEST)
            assert not store.has(DIGEST)
            assert file.read() == RAW

    def test_collect_takes_all_but_the_living(self, store: ContentStore) -> None:
        one, two, three = store.add(b"1"), store.add(b"22"), store.add(b"333")

        with store.ingest(DIGEST) as ingest:
            ingest.write(RAW)
            assert store.collect({two, DIGEST, Digest.of(b"never there")}) == 4
            ingest.commit()

        assert {digest for digest, _ in store.walk()} == {two, DIGEST}
        assert not store.has(one)
        assert not store.has(three)

    def test_a_file_is_adopted(self, store: ContentStore, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(RAW)

        with open(source, "rb") as file, store.ingest(DIGEST, len(RAW)) as ingest:
            file.seek(7)
            ingest.write(b"what came before")
            ingest.adopt(file.fileno())
            assert file.tell() == 7
            ingest.commit()
        source.write_bytes(b"changed")

        assert store.read(DIGEST) == RAW

    def test_a_pipe_is_adopted(self, store: ContentStore) -> None:
        reader, writer = os.pipe()
        try:
            os.write(writer, RAW)
        finally:
            os.close(writer)

        try:
            with store.ingest(None) as ingest:
                ingest.adopt(reader)
                assert ingest.commit() == DIGEST
        finally:
            os.close(reader)

    def test_a_file_of_another_size_is_not_adopted(self, store: ContentStore, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(RAW)

        with open(source, "rb") as file, store.ingest(DIGEST, len(RAW) - 1) as ingest:
            with pytest.raises(SizeMismatch):
                ingest.adopt(file.fileno())
            assert ingest.offset_bytes == 0

        assert list(store.walk()) == []

    def test_clean_leaves_alone_what_is_under_way(self, store: ContentStore) -> None:
        with store.ingest(DIGEST) as known, store.ingest(None) as unknown:
            known.write(RAW)
            unknown.write(b"other")
            assert store.clean() == 0
            known.commit()
            unknown.commit()

        assert store.read(DIGEST) == RAW
        assert store.read(Digest.of(b"other")) == b"other"

    def test_in_a_forked_child_an_ingest_is_closed(self, store: ContentStore) -> None:
        def in_child() -> None:
            with pytest.raises(WrongState):
                ingest.write(b"!")
            ingest.close()

        with store.ingest(DIGEST, len(RAW)) as ingest:
            ingest.write(RAW[:10])
            assert in_fork(in_child) == 0
            ingest.write(RAW[10:])
            ingest.commit()

        assert store.read(DIGEST) == RAW
