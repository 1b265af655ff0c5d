"""get_archive, put_archive, copy_in and copy_out: docker's semantics, with containers that run and that have ended."""

from __future__ import annotations

import io
import os
import socket
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrt import Conflict, Container, InvalidArgument, NotFound
from tests.containers import Shell
from tests.suites.trees import archive, directory, file, link

pytestmark = pytest.mark.needs("overlay")
FILL = """
mkdir -p /data/directory/inner /data/empty; echo text > /data/file; echo inner > /data/directory/inner/file
ln -s file /data/link; ln -s directory /data/way; ln -s /nowhere /data/dangling; ln /data/file /data/directory/again
ln /data/directory/inner/file /data/directory/second; mkfifo /data/directory/fifo; chmod 4750 /data/file
"""


@pytest.fixture(params=["running", "stopped"])
def container(request: pytest.FixtureRequest, shell: Shell) -> Iterator[Container[Any]]:
    """A container with some files, which runs or has ended."""
    if request.param == "running":
        with shell.start(f"{FILL} echo; exec sleep 1000", remove=False, name="box", stdout=-1) as process:
            assert process.stdout is not None and process.stdout.readline() == b"\n"
            yield shell.engine.containers.get("box")
    else:
        shell.run("sh", "-ec", FILL, check=True, remove=False, name="box")
        yield shell.engine.containers.get("box")
    shell.engine.containers.get("box").remove()


def members(chunks: Iterator[bytes]) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        return {member.name: member for member in tar}


def packed(*entries: Any) -> bytes:
    return b"".join(archive(*entries))


def test_an_archive_begins_with_the_name_of_its_path(container: Container[Any]) -> None:
    chunks, status = container.get_archive("/data/directory")
    found = members(chunks)

    assert set(found) == {
        "directory",
        *(f"directory/{name}" for name in ("again", "fifo", "inner", "inner/file", "second")),
    }
    assert found["directory/inner/file"].size == 6
    assert (found["directory/second"].type, found["directory/second"].linkname) == (
        tarfile.LNKTYPE,
        "directory/inner/file",
    )
    assert found["directory/fifo"].isfifo()
    assert (status["name"], status["mode"], status["linkTarget"]) == ("directory", 1 << 31 | 0o755, "")
    assert status["mtime"].endswith("Z")


def test_an_archive_of_a_file_and_of_a_link(container: Container[Any]) -> None:
    chunks, status = container.get_archive("data/file", chunk_size=512)
    pieces = list(chunks)
    assert {len(piece) for piece in pieces} == {512}
    assert members(iter(pieces))["file"].mode == 0o4750
    assert (status["size"], status["mode"]) == (5, 1 << 23 | 0o750)
    chunks, status = container.get_archive("/data/link")
    assert members(chunks)["link"].linkname == "file"
    assert (status["linkTarget"], status["mode"] >> 27) == ("/data/file", 1)
    assert set(members(container.get_archive("/data/way/")[0])) > {"way", "way/inner/file"}
    assert container.get_archive("/data/dangling")[1]["linkTarget"] == "/nowhere"


def test_an_archive_of_all_has_no_files_of_the_kernel(container: Container[Any]) -> None:
    found = members(container.get_archive("/")[0])

    assert {"etc/passwd", "data/file", "proc"} <= set(found)
    assert not [name for name in found if name.startswith(("proc/", "sys/"))]


def test_what_is_missing_is_not_found(container: Container[Any]) -> None:
    for path in ("/none", "/none/none", "/data/file/none", "/data/dangling/"):
        with pytest.raises(NotFound, match="could not find"):
            container.get_archive(path)
    with pytest.raises(InvalidArgument, match="not a directory"):
        container.get_archive("/data/file/")
    with pytest.raises(NotFound):
        container.put_archive("/none", packed(file("x")))
    with pytest.raises(InvalidArgument, match="extraction point"):
        container.put_archive("/data/file", packed(file("x")))
    with pytest.raises(InvalidArgument, match="chunk_size"):
        container.get_archive("/data", chunk_size=0)


@pytest.mark.parametrize("form", ["bytes", "iterator", "file", "gzip"])
def test_an_archive_is_unpacked(container: Container[Any], form: str) -> None:
    raw = packed(
        directory("new", mode=0o711),
        file("new/file", b"x" * 10_000, mode=0o4755),
        link("new/hard", "new/file"),
        link("/new/soft", "/etc/passwd", tarfile.SYMTYPE),
        file("./implied/deep/file", b"deep"),
        file("file", b"replaced"),
    )
    data: Any = raw
    if form == "iterator":
        data = iter([raw[at : at + 700] for at in range(0, len(raw), 700)])
    elif form == "file":
        data = io.BytesIO(raw)
    elif form == "gzip":
        import gzip

        data = gzip.compress(raw)

    assert container.put_archive("/data", data) is True

    with container.fs as fs:
        assert fs.read_bytes("/data/new/hard") == b"x" * 10_000
        found = fs.stat("/data/new/file")
        assert (found.st_nlink, found.st_mode & 0o7777, found.st_uid, found.st_mtime) == (2, 0o4755, 0, 1_000_000_000)
        assert (fs.stat("/data/new").st_mode & 0o777, fs.stat("/data/new").st_mtime) == (0o711, 1_000_000_000)
        assert str(fs.readlink("/data/new/soft")) == "/etc/passwd"
        assert fs.read_text("/data/implied/deep/file") == "deep"
        assert fs.read_text("/data/file") == "replaced"


def test_a_directory_by_a_file_and_the_reverse(container: Container[Any]) -> None:
    for entry in (file("directory", b"now"), directory("file")):
        with pytest.raises(Conflict, match="cannot overwrite"):
            container.put_archive("/data", packed(entry), no_overwrite_dir_non_dir=True)
        assert container.put_archive("/data", packed(entry))
    with container.fs as fs:
        assert fs.read_text("/data/directory") == "now" and fs.is_dir("/data/file")


def test_an_archive_that_is_none_is_refused(container: Container[Any]) -> None:
    for data in (b"no tar" * 200, packed(file("x", b"y" * 5000))[:1500]):
        with pytest.raises(InvalidArgument, match="cannot be read"):
            container.put_archive("/data", data)


def test_a_file_is_copied_out_and_in(container: Container[Any], scratch: Path) -> None:
    copied = container.copy_out("/data/file", scratch / "out")
    assert (copied.entries, copied.size_bytes, copied.skipped) == (1, 5, ())
    found = (scratch / "out").stat()
    assert ((scratch / "out").read_text(), found.st_uid, stat.S_IMODE(found.st_mode)) == ("text\n", os.geteuid(), 0o750)
    container.copy_out("/data/link", scratch)
    assert os.readlink(scratch / "link") == "file"
    container.copy_out("/data/link", scratch / "followed", follow_link=True)
    assert (scratch / "followed").read_text() == "text\n"

    (scratch / "out").write_text("back")
    container.copy_in(scratch / "out", "/data")
    container.copy_in(scratch / "out", "/data/file")
    container.copy_in(scratch / "out", "/data/link")
    with container.fs as fs:
        assert fs.read_text("/data/out") == fs.read_text("/data/file") == "back"
        assert fs.stat("/data/out").st_uid == 0 and fs.is_symlink("/data/link")


def test_directories_go_where_docker_puts_them(container: Container[Any], scratch: Path) -> None:
    container.copy_out("/data/directory", scratch / "new")
    container.copy_out("/data/directory", scratch)
    container.copy_out("/data/directory/.", scratch)
    container.copy_out("/data/way/", scratch / "way")
    for above in ("new", "directory", ".", "way"):
        assert (scratch / above / "inner/file").read_text() == "inner\n"
        assert (scratch / above / "second").stat().st_nlink == 2
    assert (scratch / "fifo").is_fifo()

    container.copy_in(scratch / "new", "/data/made")
    container.copy_in(scratch / "new", "/data")
    container.copy_in(f"{scratch}/new/.", "/data/empty")
    with container.fs as fs:
        for above in ("made", "new", "empty"):
            assert fs.read_text(f"/data/{above}/inner/file") == "inner\n"
        assert fs.stat("/data/empty").st_mode & 0o777 == 0o755


def test_copies_that_docker_refuses(container: Container[Any], scratch: Path) -> None:
    (scratch / "file").write_text("here")
    (scratch / "directory").mkdir()
    with pytest.raises(NotFound, match="no such file"):
        container.copy_out("/none", scratch)
    with pytest.raises(NotFound, match="destination directory must exist"):
        container.copy_out("/data/file", f"{scratch}/none/")
    with pytest.raises(NotFound, match="no such directory"):
        container.copy_out("/data/file", scratch / "none/none")
    with pytest.raises(InvalidArgument, match="cannot copy a directory to a file"):
        container.copy_out("/data/directory", scratch / "file")
    with pytest.raises(Conflict, match="cannot overwrite directory"):
        container.put_archive("/data", packed(file("directory")), no_overwrite_dir_non_dir=True)
    (scratch / "link").mkdir()
    with pytest.raises(Conflict, match="cannot overwrite directory"):
        container.copy_out("/data/link", scratch)
    with pytest.raises(NotFound):
        container.copy_in(scratch / "none", "/data")
    with pytest.raises(InvalidArgument, match="not a directory"):
        container.copy_in(f"{scratch}/file/", "/data")
    assert (scratch / "file").read_text() == "here"


@pytest.mark.needs("root")
def test_an_archive_copy_keeps_owners_and_set_ids(container: Container[Any], scratch: Path) -> None:
    container.fs.chown("/data/file", 1000, 1001)
    container.fs.chmod("/data/file", 0o6755)

    container.copy_out("/data/file", scratch / "kept", archive=True)
    container.copy_out("/data/file", scratch / "plain")
    container.copy_in(scratch / "kept", "/data/kept", archive=True)
    container.copy_in(scratch / "kept", "/data/plain")

    for found in ((scratch / "kept").stat(), container.fs.stat("/data/kept")):
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1000, 1001, 0o6755)
    for found in ((scratch / "plain").stat(), container.fs.stat("/data/plain")):
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, 0, 0o755)


def test_holes_stay_and_sockets_are_told(container: Container[Any], scratch: Path) -> None:
    with container.fs.open("/data/directory/holes", "wb") as opened:
        opened.truncate(1 << 30)
        opened.seek(1 << 29)
        opened.write(b"middle")
    container.copy_out("/data/directory", scratch / "out")
    found = (scratch / "out/holes").stat()
    assert found.st_size == 1 << 30 and found.st_blocks * 512 < 1 << 20
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(scratch / "out/socket"))
    (scratch / "out/holes").unlink()
    assert container.copy_in(scratch / "out", "/data/in").skipped == (f"{scratch}/out/socket",)
