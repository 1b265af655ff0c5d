from __future__ import annotations

import errno
import os
import random
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pyrt.content import LocalStore
from pyrt.errors import BlobNotFound, SyscallError
from pyrt.oci.digest import Digest
from tests.suites.content_store import DIGEST, RAW, ContentStoreSuite
from tests.unit.state.children import child


class TestLocal(ContentStoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalStore:
        return LocalStore(tmp_path / "content")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "content"


@pytest.fixture
def store(directory: Path) -> LocalStore:
    return LocalStore(directory)


def place(directory: Path, digest: Digest = DIGEST) -> Path:
    path = directory / "blobs" / digest.algorithm / digest.hex
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def under_way(directory: Path) -> list[str]:
    return os.listdir(directory / "ingest") if (directory / "ingest").exists() else []


def test_nothing_is_made_before_the_first_blob(store: LocalStore, directory: Path) -> None:
    store.has(DIGEST)
    list(store.walk())
    store.collect(set())
    store.clean()

    assert not directory.exists()


def test_the_layout_is_that_of_oci_and_for_the_owner_alone(store: LocalStore, directory: Path) -> None:
    store.add(RAW)

    assert store.path(DIGEST) == f"{directory}/blobs/sha256/{DIGEST.hex}"
    assert stat.S_IMODE(os.stat(store.path(DIGEST)).st_mode) == 0o400
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert under_way(directory) == []


@pytest.mark.parametrize("durable", [True, False])
def test_a_blob_is_flushed_before_it_has_a_name(
    directory: Path, durable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(directory, durable=durable)
    seen = []
    monkeypatch.setattr(os, "fdatasync", lambda fd: seen.append((os.fstat(fd).st_size, store.has(DIGEST))))

    store.add(RAW)

    assert seen == ([(len(RAW), False)] if durable else [])


def test_a_link_in_the_place_of_a_blob_is_not_followed(store: LocalStore, directory: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(RAW)
    place(directory).symlink_to(secret)

    assert not store.has(DIGEST)
    assert list(store.walk()) == []
    for look in (store.open, store.read, store.path):
        with pytest.raises(BlobNotFound):
            look(DIGEST)
    assert store.add(RAW) == DIGEST

    assert not place(directory).is_symlink()
    assert stat.S_IMODE(secret.stat().st_mode) != 0o400
    assert store.read(DIGEST) == RAW


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_no_blob(store: LocalStore, directory: Path, make: Callable[[Path], None]) -> None:
    make(place(directory))

    assert not store.has(DIGEST)
    with pytest.raises(BlobNotFound):
        store.open(DIGEST)
    assert store.collect(set()) == 0


def test_a_link_in_the_place_of_an_ingest_is_refused(store: LocalStore, directory: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    (directory / "ingest").mkdir(parents=True)
    (directory / "ingest" / f"sha256-{DIGEST.hex}").symlink_to(tmp_path / "precious")

    with pytest.raises(SyscallError) as caught:
        store.ingest(DIGEST)
    store.clean()

    assert caught.value.errno == errno.ELOOP
    assert (tmp_path / "precious").read_text() == "kept"


def test_foreign_files_are_neither_seen_nor_collected(store: LocalStore, directory: Path) -> None:
    store.add(RAW)
    foreign = [directory / "blobs/sha256/README", directory / "blobs/sha256" / ("A" * 64), directory / "blobs/note"]
    for path in foreign:
        path.write_text("mine")
    (directory / "blobs/md5").mkdir()
    (directory / "blobs/md5" / ("0" * 32)).write_text("mine")

    assert [digest for digest, _ in store.walk()] == [DIGEST]
    assert store.collect(set()) == len(RAW)
    assert all(path.exists() for path in foreign)


def test_a_blob_that_lost_its_end_is_fetched_again(store: LocalStore, directory: Path) -> None:
    place(directory).write_bytes(RAW[:-1])

    with store.ingest(DIGEST, len(RAW)) as ingest:
        assert not ingest.is_complete
        ingest.write(RAW)
        ingest.commit()

    assert store.read(DIGEST) == RAW


def test_two_ingests_without_a_digest_may_have_one(store: LocalStore, directory: Path) -> None:
    with store.ingest(None) as one, store.ingest(None) as two:
        for ingest in (one, two):
            ingest.write(RAW)
            assert ingest.commit() == DIGEST

    assert store.read(DIGEST) == RAW
    assert under_way(directory) == []


def test_what_killed_processes_left_is_cleaned(store: LocalStore, directory: Path) -> None:
    program = """
from pyrt.content import LocalStore
from pyrt.oci.digest import Digest
store = LocalStore(sys.argv[1])
known, unknown = store.ingest(Digest.parse(sys.argv[2])), store.ingest(None)
known.write(b"12345"); unknown.write(b"678")
print("ready", flush=True); sys.stdin.read()
"""
    with child(program, directory, str(DIGEST)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert store.clean() == 0
        assert len(under_way(directory)) == 2

    assert store.clean() == 8
    assert under_way(directory) == []


def test_an_ingest_takes_over_from_a_killed_one(store: LocalStore, directory: Path) -> None:
    (directory / "ingest").mkdir(parents=True)
    (directory / "ingest" / f"sha256-{DIGEST.hex}").write_bytes(b"half")

    with store.ingest(DIGEST, len(RAW)) as ingest:
        assert ingest.offset_bytes == 0
        ingest.write(RAW)
        ingest.commit()

    assert store.read(DIGEST) == RAW


def test_processes_take_turns_and_one_downloads(directory: Path) -> None:
    program = """
from pyrt.content import LocalStore
from pyrt.oci.digest import Digest
raw = bytes(1 << 20)
sys.stdin.readline()
with LocalStore(sys.argv[1]).ingest(Digest.of(raw), len(raw)) as ingest:
    print("waited" if ingest.is_complete else "downloaded")
    if not ingest.is_complete:
        for _ in range(16):
            ingest.write(raw[: 1 << 16])
        ingest.commit()
"""
    with ExitStack() as stack:
        processes = [stack.enter_context(child(program, directory)) for _ in range(4)]
        outputs = []
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in processes:
            output, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
            outputs.append(output)

    assert sorted(outputs) == ["downloaded\n", "waited\n", "waited\n", "waited\n"]


def test_a_kill_at_any_point_loses_nothing_that_was_done(store: LocalStore, directory: Path) -> None:
    program = """
from pyrt.content import LocalStore
store = LocalStore(sys.argv[1], durable=False)
while True:
    raw = os.urandom(70_000)
    with store.ingest(None) as ingest:
        for start in range(0, len(raw), 10_000):
            ingest.write(raw[start : start + 10_000])
        print(ingest.commit(), flush=True)
"""
    chance = random.Random(3)
    done: list[str] = []
    for _ in range(8):
        with child(program, directory) as process:
            assert process.stdout is not None
            done.append(process.stdout.readline().strip())
            time.sleep(chance.random() / 100)
            process.kill()
            done += process.stdout.read().split("\n")[:-1]
        store.clean()
        assert under_way(directory) == []

    there = [digest for digest, _ in store.walk()]
    assert set(done) <= {str(digest) for digest in there}
    for digest in there:
        store.read(digest)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    point = tmp_path / "small"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,nr_inodes=64", "small", point], check=True)
    yield point
    subprocess.run(["umount", point], check=True)


@pytest.mark.needs("root")
def test_a_full_disk_leaves_nothing_and_takes_it_later(small: Path) -> None:
    store = LocalStore(small / "content")
    kept = store.add(b"kept" * 1000)
    filler = store.add(bytes(150_000))
    raw = os.urandom(150_000)

    with store.ingest(Digest.of(raw), len(raw)) as ingest:
        with pytest.raises(SyscallError) as caught:
            ingest.write(raw)
        assert (caught.value.errno, ingest.offset_bytes) == (errno.ENOSPC, 0)
        store.delete(filler)
        ingest.write(raw)
        ingest.commit()
    with pytest.raises(SyscallError), store.ingest(None) as ingest:
        ingest.write(os.urandom(200_000))

    assert store.read(Digest.of(raw)) == raw
    assert store.read(kept) == b"kept" * 1000
    assert under_way(small / "content") == []


@pytest.mark.needs("root")
def test_a_disk_without_inodes(small: Path) -> None:
    store = LocalStore(small / "content")
    store.add(RAW)
    for number in range(64):
        try:
            (small / f"filler-{number}").touch()
        except OSError:
            break

    with pytest.raises(SyscallError) as caught:
        store.add(b"new")

    assert caught.value.errno == errno.ENOSPC
    assert store.read(DIGEST) == RAW


def test_a_whole_ingest_truncates_nothing(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    cut: list[int] = []
    monkeypatch.setattr("pyrt.content.ingest.os.ftruncate", lambda fd, size: cut.append(size))

    with store.ingest(DIGEST, len(RAW)) as ingest:
        ingest.write(RAW)
        ingest.commit()

    assert cut == []
    assert store.read(DIGEST) == RAW
