from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from pyrt.errors import SyscallError
from pyrt.layer import remove_tree


def test_everything_goes_and_nothing_else(tmp_path: Path) -> None:
    top, beside = tmp_path / "top", tmp_path / "beside"
    beside.mkdir()
    (beside / "file").touch()
    (top / "a/b/c").mkdir(parents=True)
    (top / "a/b/link").symlink_to(beside)
    (top / "a/file").touch()
    os.mkfifo(top / "a/b/c/fifo")
    for closed in ("a/b/c", "a/b", "a", ""):
        (top / closed).chmod(0)

    remove_tree(str(top))
    remove_tree(str(top))

    assert os.listdir(tmp_path) == ["beside"]
    assert os.listdir(beside) == ["file"]


def test_depth_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    here = os.open(tmp_path / "top", os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)

    remove_tree(str(tmp_path / "top"))

    assert os.listdir(tmp_path) == []


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/file").touch()
    (tmp_path / "there").chmod(0o550)
    (tmp_path / "link").symlink_to("there")

    with pytest.raises(SyscallError):
        remove_tree(str(tmp_path / "link"))

    assert os.listdir(tmp_path / "there") == ["file"]
    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o550


@pytest.mark.needs("root")
def test_what_is_mounted_stays(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/file").touch()
    (tmp_path / "top/mounted").mkdir(parents=True)
    subprocess.run(["mount", "--bind", tmp_path / "source", tmp_path / "top/mounted"], check=True)
    try:
        with pytest.raises(SyscallError) as caught:
            remove_tree(str(tmp_path / "top"))
    finally:
        subprocess.run(["umount", tmp_path / "top/mounted"], check=True)

    assert caught.value.errno == errno.EBUSY
    assert os.listdir(tmp_path / "source") == ["file"]
