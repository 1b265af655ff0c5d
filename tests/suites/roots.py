"""What every Root keeps of its contract. A subclass gives the fixture `root`: see `fill` for what is in it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

import pytest

from pyrt.errors import SyscallError
from pyrt.layer import Root

__all__ = ["FILL", "RootsSuite", "fails", "read", "write"]

# What the image of a root has, as a script of its shell, which may run before the root is looked at.
FILL = """
mkdir -p /data/directory/inner /outer
echo text > /data/file; echo inner > /data/directory/inner/file; chmod 640 /data/file
ln -s file /data/link; ln -s /data/directory /data/absolute; ln -s ../../../../data/file /data/directory/up
ln -s /nowhere /data/dangling; ln -s loop /data/loop; mkfifo /data/fifo; ln /data/file /data/again
"""


def read(root: Root, path: str) -> bytes:
    fd = root.open(path, os.O_RDONLY)
    with open(fd, "rb") as file:
        return file.read()


def write(root: Root, path: str, data: bytes, flags: int = os.O_WRONLY | os.O_CREAT | os.O_TRUNC) -> None:
    with open(root.open(path, flags), "wb") as file:
        file.write(data)


def fails(code: int, call: Callable[[], object]) -> None:
    with pytest.raises(SyscallError) as caught:
        call()
    assert caught.value.errno == code, caught.value


class RootsSuite:
    """Inherit, and give a fixture `root`."""

    @pytest.mark.parametrize("path", ["/data/file", "data/file", "/data/link", "/data/absolute/up", "/../../data/file"])
    def test_a_path_is_that_of_a_process_in_there(self, root: Root, path: str) -> None:
        assert read(root, path) == b"text\n"

    def test_a_status_is_of_the_link_or_of_what_it_leads_to(self, root: Root) -> None:
        assert stat.S_ISLNK(root.stat("/data/link", follow=False).st_mode)
        found = root.stat("/data/link")
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_size) == (0o640, 0, 0, 5)
        assert found.st_mtime_ns == root.stat("/data/file").st_mtime_ns > 0
        assert stat.S_ISDIR(root.stat("/").st_mode)

    def test_a_link_says_what_it_says(self, root: Root) -> None:
        assert root.readlink("/data/absolute") == "/data/directory"
        fails(errno.EINVAL, lambda: root.readlink("/data/file"))

    def test_links_can_be_refused(self, root: Root) -> None:
        fails(errno.ELOOP, lambda: root.open("/data/absolute/inner/file", os.O_RDONLY, links=False))
        fails(errno.ELOOP, lambda: root.open("/data/link", os.O_RDONLY, links=False))
        fails(errno.ELOOP, lambda: root.mkdir("/data/absolute/new", links=False))
        assert stat.S_ISLNK(root.stat("/data/link", follow=False, links=False).st_mode)

    def test_a_directory_can_be_listed(self, root: Root) -> None:
        fd = root.open("/data/directory", os.O_RDONLY | os.O_DIRECTORY)
        try:
            assert sorted(os.listdir(fd)) == ["inner", "up"]
        finally:
            os.close(fd)

    def test_what_is_missing_or_no_file_is_refused(self, root: Root) -> None:
        fails(errno.ENOENT, lambda: root.stat("/data/nothing"))
        fails(errno.ENOENT, lambda: root.open("/data/dangling", os.O_RDONLY))
        fails(errno.ENOTDIR, lambda: root.stat("/data/file/x"))
        fails(errno.ELOOP, lambda: root.stat("/data/loop"))
        fails(errno.EINVAL, lambda: root.open("/data/fifo", os.O_RDONLY))
        fails(errno.EINVAL, lambda: root.open("/data/fifo", os.O_WRONLY | os.O_CREAT))
        fails(errno.ENOENT, lambda: root.open("/data/dangling", os.O_WRONLY | os.O_CREAT))

    def test_a_file_is_written_in_its_place_and_made_with_its_mode(self, root: Root) -> None:
        write(root, "/data/link", b"changed")
        write(root, "/outer/new", b"new")

        assert read(root, "/data/file") == b"changed"
        found = root.stat("/outer/new")
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o644, 0, 0)
        fails(errno.EEXIST, lambda: root.open("/outer/new", os.O_WRONLY | os.O_CREAT | os.O_EXCL))

    def test_directories_are_made_and_removed(self, root: Root) -> None:
        root.mkdir("/outer/made", 0o2777)
        assert stat.S_IMODE(root.stat("/outer/made").st_mode) == 0o2777
        fails(errno.EEXIST, lambda: root.mkdir("/outer/made"))
        fails(errno.ENOENT, lambda: root.mkdir("/outer/none/made"))
        fails(errno.ENOTEMPTY, lambda: root.rmdir("/data/directory"))
        fails(errno.EISDIR, lambda: root.unlink("/outer/made"))
        root.rmdir("/outer/made")
        fails(errno.ENOENT, lambda: root.stat("/outer/made"))

    def test_a_tree_is_removed_and_links_in_it_are_not_followed(self, root: Root) -> None:
        root.symlink("/data", "/data/directory/out")
        root.rmtree("/data/directory")
        fails(errno.ENOENT, lambda: root.stat("/data/directory"))
        assert read(root, "/data/file") == b"text\n"
        root.mkdir("/data/directory")
        fd = root.open("/data/directory", os.O_RDONLY | os.O_DIRECTORY)
        assert os.listdir(fd) == []
        os.close(fd)

    def test_names_are_given_and_taken(self, root: Root) -> None:
        root.rename("/data/file", "/outer/file")
        root.link("/outer/file", "/outer/again")
        root.symlink("again", "/outer/link")
        root.unlink("/outer/file")

        assert read(root, "/outer/link") == b"text\n"
        fails(errno.ENOENT, lambda: root.stat("/data/file"))
        fails(errno.EEXIST, lambda: root.symlink("x", "/outer/link"))

    def test_attributes_are_changed(self, root: Root) -> None:
        root.chown("/data/link", 0, 0)
        root.chmod("/data/link", 0o4711)
        root.utime("/data/link", 1, 2)
        root.utime("/data/file", 3_000_000_001, 4_000_000_002)

        found, link = root.stat("/data/file"), root.stat("/data/link", follow=False)
        assert (stat.S_IMODE(found.st_mode), found.st_mtime_ns) == (0o4711, 4_000_000_002)
        assert link.st_mtime_ns == 2
        fails(errno.EOPNOTSUPP, lambda: root.chmod("/data/link", 0o600, follow=False))

    def test_a_fifo_is_made(self, root: Root) -> None:
        root.mknod("/outer/fifo", stat.S_IFIFO | 0o622, 0)
        assert root.stat("/outer/fifo").st_mode == stat.S_IFIFO | 0o622

    def test_names_that_are_none_are_refused(self, root: Root) -> None:
        fails(errno.EINVAL, lambda: root.unlink("/"))
        fails(errno.EINVAL, lambda: root.unlink("/data/.."))
        fails(errno.EINVAL, lambda: root.mkdir("/data/."))

    def test_any_name_that_a_file_can_have(self, root: Root) -> None:
        for name in ("a\nb", "\udcff\udcfe", "-rf *", "ü", "x" * 255):
            write(root, f"/outer/{name}", name.encode("utf-8", "surrogateescape"))
            assert read(root, f"/outer/{name}") == name.encode("utf-8", "surrogateescape")
