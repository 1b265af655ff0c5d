"""csrc/prt_tarwrite.h through its door: trees that change while they are written, and that nobody should make."""

from __future__ import annotations

import errno
import io
import os
import resource
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyrt._native.tarwrite import TarWriter
from pyrt.errors import SyscallError

Make = Callable[[], TarWriter]


@pytest.fixture
def top(tmp_path: Path) -> Iterator[Path]:
    """Give an empty directory, which may become deeper than what pytest can remove."""
    (tmp_path / "top").mkdir()
    yield tmp_path / "top"
    subprocess.run(["rm", "-r", *tmp_path.iterdir()], check=True)


@pytest.fixture
def make(top: Path) -> Iterator[Make]:
    """Give what makes writers of the tree; they are closed at the end."""
    writers = []

    def made() -> TarWriter:
        fd = os.open(top, os.O_PATH)
        writers.append(TarWriter(fd))
        os.close(fd)
        return writers[-1]

    yield made
    for writer in writers:
        writer.close()


def rest(writer: TarWriter, size: int = 1 << 16) -> bytes:
    return b"".join(iter(lambda: writer.step(size), b""))


def read(raw: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(raw), errors="surrogateescape") as archive:
        return {info.name: info for info in archive}


def data_of(raw: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        file = archive.extractfile(name)
        assert file is not None
        return file.read()


@contextmanager
def refused(code: int, path: str, msg: str) -> Iterator[None]:
    with pytest.raises(SyscallError) as caught:
        yield
    failure = caught.value
    assert (failure.errno, failure.op, failure.filename) == (code, "tarwrite", path[:255])
    assert msg in failure.detail


def test_a_fifo_without_a_writer_stops_nobody(make: Make, top: Path) -> None:
    os.mkfifo(top / "fifo")

    assert read(rest(make()))["fifo"].isfifo()


@pytest.mark.parametrize("size", [0, 2000, 5000])
def test_a_file_that_changes_its_size_is_refused(make: Make, top: Path, size: int) -> None:
    (top / "file").write_bytes(bytes(3000))
    writer = make()
    writer.step(1000)
    os.truncate(top / "file", size)

    with refused(errno.EBUSY, "file", "while it was written"):
        rest(writer, 100)


def test_a_file_that_is_replaced_is_written_as_it_was(make: Make, top: Path) -> None:
    (top / "file").write_bytes(b"old" * 1000)
    writer = make()
    begin = writer.step(600)
    (top / "file").unlink()
    (top / "file").symlink_to("/etc/passwd")

    assert data_of(begin + rest(writer), "file") == b"old" * 1000


def test_what_is_removed_meanwhile_is_refused(make: Make, top: Path) -> None:
    (top / "a").write_bytes(bytes(3000))
    (top / "b").touch()
    writer = make()
    writer.step(1000)
    (top / "b").unlink()

    with refused(errno.EBUSY, "b", "removed"):
        rest(writer)


def test_a_directory_that_becomes_a_link_leads_nowhere(make: Make, top: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").touch()
    (top / "a").write_bytes(bytes(3000))
    (top / "b").mkdir()
    writer = make()
    begin = writer.step(1000)
    (top / "b").rmdir()
    (top / "b").symlink_to(tmp_path / "outside")

    found = read(begin + rest(writer))

    assert [*found] == ["a", "b"]
    assert found["b"].issym()


def deep(top: Path, depth: int, name: str = "d") -> None:
    """Make directories in each other, each with a file that comes after the directory."""
    at = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=at)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=at))
        inner = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)


@contextmanager
def few_descriptors(more: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_depth_costs_neither_stack_nor_descriptors(make: Make, top: Path) -> None:
    deep(top, 1000)
    with few_descriptors(80):
        raw = rest(make())

    names = [*read(raw)]

    assert len(names) == 2000
    assert names[:3] == ["d", "d/d", "d/d/d"]
    assert names[-2:] == ["d/file", "file"]


def test_a_path_longer_than_any_call_takes_is_refused(make: Make, top: Path) -> None:
    deep(top, 17, "n" * 250)

    with refused(errno.ENAMETOOLONG, "n" * 250, "too long"):
        rest(make())


@pytest.mark.parametrize("instead", ["nothing", "link", "directory"])
def test_a_directory_that_is_moved_meanwhile_is_refused(make: Make, top: Path, tmp_path: Path, instead: str) -> None:
    deep(top, 100)
    bottom = os.path.join(top, *["d"] * 100)
    (Path(bottom) / "big").write_bytes(bytes(200_000))
    writer = make()
    writer.step(200_000)  # 100 directories of 1,536 bytes, and some of the file in the last one
    (top / "d/d").rename(tmp_path / "moved")
    if instead == "link":
        (top / "d/d").symlink_to(tmp_path / "moved")
    elif instead == "directory":
        deep(top / "d", 40)

    with pytest.raises(SyscallError, match=r"Device or resource busy.*was moved while it was written"):
        rest(writer)
