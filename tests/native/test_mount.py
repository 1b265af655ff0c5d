"""csrc/prt_mount.h: detached mounts, and what is said of those that fail."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.native.library import Csrc, Failure

pytestmark = pytest.mark.needs("root")
RDONLY, NOATIME = 0x1, 0x10
MS_PRIVATE = 1 << 18
TMPFS = (b"tmpfs", b"tmpfs")


def refused(csrc: Csrc, name: str, *arguments: object) -> Failure:
    """Make a call that must fail."""
    with pytest.raises(Failure) as caught:
        csrc.call(name, *arguments)
    return caught.value


def test_a_file_system_is_mounted_nowhere(csrc: Csrc) -> None:
    fd = csrc.call("prt_mount_new", *TMPFS, b"size\x004096\0mode\x000700\0\0", 0)

    with open(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=fd), "wb") as file:
        assert file.write(b"x") == 1
    assert os.fstat(fd).st_mode & 0o777 == 0o700
    os.close(fd)


def test_flags_and_no_options_are_options(csrc: Csrc) -> None:
    fd = csrc.call("prt_mount_new", b"proc", csrc.ffi.NULL, csrc.ffi.NULL, 0)
    os.close(fd)
    fd = csrc.call("prt_mount_new", b"tmpfs", b"tmpfs", b"ro\0\0\0", 0)
    with pytest.raises(OSError, match="Read-only"):
        os.mkdir("x", dir_fd=fd)
    os.close(fd)


def test_an_unknown_type_is_named(csrc: Csrc) -> None:
    assert refused(csrc, "prt_mount_new", b"nosuchfs", b"x", b"\0", 0) == Failure(
        errno.ENODEV, "fsopen", "nosuchfs", ""
    )


def test_what_the_file_system_says_is_passed_on(csrc: Csrc) -> None:
    failure = refused(csrc, "prt_mount_new", *TMPFS, b"nonsense\x001\0\0", 0)

    assert (failure.code, failure.op, failure.path) == (errno.EINVAL, "mount", "tmpfs")
    assert failure.msg == "tmpfs: Unknown parameter 'nonsense'"


def test_a_clone_is_of_what_is_there(csrc: Csrc, root: int) -> None:
    failure = refused(csrc, "prt_mount_clone", root, b"none", 0)

    assert (failure.code, failure.op, failure.path) == (errno.ENOENT, "open_tree", "none")


def test_attributes_are_of_the_clone_alone(csrc: Csrc, root: int, tmp_path: Path) -> None:
    fd = csrc.call("prt_mount_clone", root, b"", 1)

    assert csrc.call("prt_mount_set", fd, RDONLY | NOATIME, 0, 1) == 0
    assert csrc.call("prt_mount_set", fd, 0, MS_PRIVATE, 1) == 0
    assert csrc.call("prt_mount_set", fd, 0, 0, 0) == 0

    assert os.fstatvfs(fd).f_flag & (os.ST_RDONLY | os.ST_NOATIME) == os.ST_RDONLY | os.ST_NOATIME
    os.close(fd)
    (tmp_path / "root/x").mkdir()


def test_what_is_no_mount_has_no_attributes(csrc: Csrc, root: int) -> None:
    assert refused(csrc, "prt_mount_set", root, RDONLY, 0, 0).op == "mount_setattr"


def test_a_mount_goes_nowhere_without_its_place(csrc: Csrc, root: int) -> None:
    fd = csrc.call("prt_mount_clone", root, b"", 0)

    failure = refused(csrc, "prt_mount_attach", fd, -1, b"/there")

    assert (failure.code, failure.op, failure.path) == (errno.EBADF, "move_mount", "/there")
    os.close(fd)
