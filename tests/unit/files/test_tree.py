"""pyrt.files.tree and archive: trees that are read while nobody or somebody changes them, and what a tar says."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pyrt.errors import SyscallError
from pyrt.files import archive, tree
from pyrt.files.extract import _Pieces
from pyrt.files.tree import entries, pieces, sized
from pyrt.layer import LocalRoot


@pytest.fixture
def root(tmp_path: Path) -> Iterator[LocalRoot]:
    with closing(LocalRoot(os.open(tmp_path, os.O_PATH))) as root:
        yield root


def test_directories_come_before_what_they_hold(root: LocalRoot, tmp_path: Path) -> None:
    (tmp_path / "top/b/c").mkdir(parents=True)
    (tmp_path / "top/a").symlink_to("/")
    (tmp_path / "top/z").touch()

    assert [entry.name for entry in entries(root, "/top")] == ["", "a", "b", "b/c", "z"]
    assert [entry.path for entry in entries(root, "/")][:3] == ["/", "/top", "/top/a"]


def test_what_goes_meanwhile_is_left_out(root: LocalRoot, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name / "inner").mkdir(parents=True)
    found = []
    for entry in entries(root, "/"):
        found.append(entry.name)
        if entry.name == "a":
            (tmp_path / "b/inner").rmdir()
            (tmp_path / "b").rmdir()
            (tmp_path / "b").symlink_to("c")

    assert found == ["", "a", "a/inner", "b", "c", "c/inner"]


def test_the_files_of_proc_are_for_who_asks_for_them() -> None:
    with closing(LocalRoot(os.open("/", os.O_PATH))) as root:
        assert len(list(entries(root, f"/proc/{os.getpid()}/attr"))) > 1


@pytest.mark.parametrize("size", [0, 1, 5, 1 << 20, (3 << 20) + 7])
def test_pieces_are_what_is_no_hole(tmp_path: Path, size: int) -> None:
    with open(tmp_path / "file", "wb+") as file:
        file.write(b"start"[:size])
        file.seek(max(size - 3, 0))
        file.write(b"end"[:size])
        file.truncate(size)
        file.flush()
        whole = bytearray(size)
        for offset, piece in pieces(file.fileno(), size):
            whole[offset : offset + len(piece)] = piece
        file.seek(0)
        assert bytes(whole) == file.read()


def test_a_file_that_has_shrunk_ends_early(tmp_path: Path) -> None:
    with open(tmp_path / "file", "wb+") as file:
        file.write(b"12345")
        file.flush()
        assert list(pieces(file.fileno(), 10)) == [(0, b"12345")]


def test_a_file_that_lies_about_its_size_is_read_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    fd = os.open("/proc/self/status", os.O_RDONLY)
    size, whole = sized(fd)
    os.close(fd)
    assert whole is not None and len(whole) == size > 0

    monkeypatch.setattr(tree, "LYING_BYTES", 10)
    fd = os.open("/proc/self/status", os.O_RDONLY)
    with pytest.raises(SyscallError, match="over 10 bytes"):
        sized(fd)
    os.close(fd)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (stat.S_IFREG | 0o644, 0o644),
        (stat.S_IFDIR | 0o1777, 1 << 31 | 1 << 20 | 0o777),
        (stat.S_IFLNK | 0o777, 1 << 27 | 0o777),
        (stat.S_IFREG | 0o6755, 1 << 23 | 1 << 22 | 0o755),
        (stat.S_IFCHR | 0o600, 1 << 26 | 1 << 21 | 0o600),
    ],
)
def test_modes_are_those_of_go(mode: int, expected: int) -> None:
    assert archive._go_mode(mode) == expected


def test_times_are_those_of_go() -> None:
    assert archive._rfc3339(1_000_000_000 * 10**9) == "2001-09-09T01:46:40Z"
    assert archive._rfc3339(1_000_000_000 * 10**9 + 120_000_000) == "2001-09-09T01:46:40.12Z"


def test_pieces_of_any_size_are_one_stream() -> None:
    pieces = _Pieces([b"", b"abc", b"", b"defgh", b"i"])

    assert [pieces.read(2), pieces.read(4), pieces.read(0), pieces.read(9), pieces.read(1)] == [
        b"ab",
        b"cdef",
        b"",
        b"ghi",
        b"",
    ]


def test_a_fifo_is_not_waited_for(root: LocalRoot, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    done = threading.Event()

    def work() -> None:
        with pytest.raises(SyscallError, match="a fifo is there"):
            root.open("/fifo", os.O_RDONLY)
        done.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert done.wait(60)
    thread.join()
