from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from pyrt.errors import InvalidArgument, ResourceBusy, SyscallError, Unsupported
from pyrt.layer import apply, compress, decompress, write

READERS = {"tar": ["tar", "-x", "-p", "--xattrs", "--xattrs-include=user.*"], "bsdtar": ["bsdtar", "-x", "-p", "-f-"]}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "etc/deep").mkdir(parents=True)
    (top / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (top / "etc/deep" / ("long" * 60)).write_bytes(os.urandom(3 << 20))
    (top / "etc/\u00e9t\u00e9").write_text("summer")
    os.link(top / "etc/passwd", top / "etc/twin")
    (top / "link").symlink_to("x" * 150)
    os.mkfifo(top / "fifo")
    os.setxattr(top / "etc/passwd", "user.note", b"\0\xff=\n")
    os.utime(top / "etc/passwd", ns=(0, 1_234_567_890_123_456_789))
    (top / "etc/deep").chmod(0o2711)
    return top


def seen(top: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(top.rglob("*")):
        st = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        target = os.readlink(path) if path.is_symlink() else ""
        note = os.getxattr(path, "user.note") if path.name == "passwd" else b""
        times = st.st_mtime_ns if stat.S_ISREG(st.st_mode) else 0
        found[str(path.relative_to(top))] = (st.st_mode, st.st_nlink, times, content, target, note)
    return found


@pytest.mark.parametrize(
    "reader", [pytest.param(name, marks=pytest.mark.needs(name) if name == "bsdtar" else ()) for name in READERS]
)
def test_other_programs_unpack_what_is_written(tree: Path, tmp_path: Path, reader: str) -> None:
    (tmp_path / "out").mkdir()

    done = subprocess.run(
        READERS[reader], input=b"".join(write(str(tree))), cwd=tmp_path / "out", capture_output=True, check=True
    )

    assert done.stderr == b""
    assert seen(tmp_path / "out") == seen(tree)


def test_the_pieces_have_a_bounded_size_and_are_counted(tree: Path) -> None:
    archive = write(str(tree))

    pieces = [*archive]

    assert [len(piece) for piece in pieces[:-1]] == [1 << 20] * (len(pieces) - 1)
    assert len(pieces) == 4
    assert (archive.entries, archive.skipped_sockets) == (8, 0)
    assert archive.size_bytes == (3 << 20) + len("root:x:0:0::/root:/bin/sh\n") + len("summer")


def test_a_descriptor_stays_the_callers(tree: Path) -> None:
    fd = os.open(tree, os.O_PATH)
    archive = write(fd)
    os.close(fd)

    assert b"".join(archive) == b"".join(write(str(tree)))


def test_a_layer_goes_through_every_form(tree: Path, tmp_path: Path) -> None:
    raw = b"".join(write(str(tree)))

    for kind in ("gzip", "zstd", "none"):
        apply(decompress(compress(write(str(tree)), kind)), str(tmp_path / kind))
        assert b"".join(write(str(tmp_path / kind))) == raw


def test_no_time_is_later_than_the_latest(tree: Path) -> None:
    raw = b"".join(write(str(tree), latest=1_000_000_000, root=True))

    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        assert {info.mtime for info in archive} == {1_000_000_000}
        assert archive.getnames()[0] == "."


def test_closing_early_is_allowed_and_final(tree: Path) -> None:
    archive = write(str(tree))
    next(archive)

    archive.close()
    archive.close()

    assert [*archive] == []


def test_what_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(SyscallError, match="No such file"):
        write(str(tmp_path / "none"))


def test_a_tree_that_no_archive_can_tell_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".wh.x").touch()

    with pytest.raises(InvalidArgument, match=r"'.wh.x': in a layer, a name that begins with .wh."):
        list(write(str(tmp_path)))


def test_a_tree_that_changes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(bytes(3 << 20))
    archive = write(str(tmp_path))
    next(archive)
    os.truncate(tmp_path / "log", 4 << 20)

    with pytest.raises(ResourceBusy, match="'log': its size changed while it was written; stop or pause what writes"):
        list(archive)
    assert [*archive] == []


def test_parts_elsewhere_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.setxattr(tmp_path / "file", "user.overlay.metacopy", b"")

    with pytest.raises(Unsupported, match=r"'file': overlayfs keeps a part of it elsewhere"):
        list(write(str(tmp_path), userxattr=True))


@pytest.mark.parametrize("ids", [[(0, 0)], [(-1, 0, 1)], [(0, 2**32, 1)], [("0", 0, 1)]])
def test_maps_that_are_none_are_refused(tmp_path: Path, ids: list[tuple[int, int, int]]) -> None:
    with pytest.raises((ValueError, OverflowError, TypeError)):
        write(str(tmp_path), uids=ids)


def test_the_longest_name_that_can_be_hidden_survives_a_round_trip(tmp_path: Path) -> None:
    (tmp_path / "upper").mkdir()
    os.mknod(tmp_path / "upper" / ("n" * 255), stat.S_IFCHR, 0)

    apply(write(str(tmp_path / "upper")), str(tmp_path / "again"))

    status = (tmp_path / "again" / ("n" * 255)).lstat()
    assert stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
