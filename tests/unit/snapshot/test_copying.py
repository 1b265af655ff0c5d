from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pyrt._native.path import open_in_root
from pyrt.errors import NameInUse, SyscallError
from pyrt.oci.spec import Mount
from pyrt.snapshot import Copying, Snapshotter, copy_tree
from tests.chains import opaque
from tests.suites.snapshotter import SnapshotterSuite
from tests.users import USER_ID, python_as_user


@pytest.mark.needs("userns")
class TestCopying(SnapshotterSuite):
    @pytest.fixture
    def directory(self, tmp_path: Path) -> Path:
        return tmp_path / "copies"

    @pytest.fixture
    def snapshotter(self, directory: Path) -> Snapshotter:
        return Copying(str(directory))

    def test_remove_leaves_nothing(self, snapshotter: Snapshotter, directory: Path, lower: Path) -> None:
        (lower / "etc").chmod(0o500)
        snapshotter.prepare("c1", [str(lower)])
        snapshotter.prepare("c1", [str(lower)], "/other")
        (lower / "etc").chmod(0o700)

        snapshotter.remove("c1")

        assert list(directory.iterdir()) == []

    def test_a_failed_copy_leaves_nothing(self, snapshotter: Snapshotter, directory: Path) -> None:
        with pytest.raises(SyscallError) as caught:
            snapshotter.prepare("c1", ["/does/not/exist"])

        assert caught.value.errno == errno.ENOENT
        assert list(directory.iterdir()) == []


def test_the_copy_is_bound(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()

    mount = copy_tree([str(tmp_path / "source")], str(tmp_path / "target"), "/data")

    assert mount == Mount("/data", "bind", str(tmp_path / "target"), ("bind",))


def test_a_target_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()

    with pytest.raises(NameInUse):
        copy_tree([str(tmp_path / "source")], str(tmp_path / "target"))

    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


def test_times_modes_and_attributes_come_over(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("x")
    os.setxattr(source / "file", "user.note", b"kept")
    (source / "file").chmod(0o400)
    os.utime(source / "file", ns=(1_000_000_001, 2_000_000_002))
    os.utime(source, ns=(3_000_000_003, 4_000_000_004))

    copy_tree([str(source)], str(tmp_path / "target"))

    copy = tmp_path / "target"
    status = (copy / "file").stat()
    assert os.getxattr(copy / "file", "user.note") == b"kept"
    assert (status.st_mtime_ns, stat.S_IMODE(status.st_mode)) == (2_000_000_002, 0o400)
    assert copy.stat().st_mtime_ns == 4_000_000_004


def test_attributes_of_an_overlay_stay_behind(tmp_path: Path) -> None:
    opaque(tmp_path / "top/opaque")
    (tmp_path / "base/opaque/old").mkdir(parents=True)
    os.setxattr(tmp_path / "top/opaque", "user.mine", b"y")
    os.setxattr(tmp_path / "base/opaque", "user.other", b"y")

    copy_tree([str(tmp_path / "top"), str(tmp_path / "base")], str(tmp_path / "target"))

    assert os.listdir(tmp_path / "target") == ["opaque"]
    assert os.listdir(tmp_path / "target/opaque") == []
    assert os.listxattr(tmp_path / "target/opaque") == ["user.mine"]


def test_a_closed_directory_of_a_lower_takes_what_is_above(tmp_path: Path) -> None:
    for lower in ("top", "base"):
        (tmp_path / lower / "closed").mkdir(parents=True)
        (tmp_path / lower / "closed" / lower).touch()
        (tmp_path / lower / "closed").chmod(0o500)
        (tmp_path / lower).chmod(0o500)

    copy_tree([str(tmp_path / "top"), str(tmp_path / "base")], str(tmp_path / "target"))
    for lower in ("top", "base"):
        (tmp_path / lower).chmod(0o700)
        (tmp_path / lower / "closed").chmod(0o700)

    assert sorted(os.listdir(tmp_path / "target/closed")) == ["base", "top"]
    assert stat.S_IMODE((tmp_path / "target/closed").stat().st_mode) == 0o500


def test_holes_stay_holes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with open(source / "sparse", "wb") as file:
        file.seek(64 << 20)
        file.write(b"end")

    copy_tree([str(source)], str(tmp_path / "target"))

    status = (tmp_path / "target/sparse").stat()
    assert status.st_size == (64 << 20) + 3
    assert status.st_blocks * 512 < 1 << 20


def test_hard_links_stay_links_across_directories(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "a/b").mkdir(parents=True)
    (source / "z").mkdir()
    (source / "a/b/one").write_text("x")
    (source / "z/two").hardlink_to(source / "a/b/one")

    copy_tree([str(source)], str(tmp_path / "target"))

    one, two = (tmp_path / "target/a/b/one").stat(), (tmp_path / "target/z/two").stat()
    assert (one.st_ino, one.st_nlink) == (two.st_ino, 2)
    assert one.st_ino != (source / "a/b/one").stat().st_ino


def test_symbolic_links_are_not_followed(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("private")
    (source / "way").symlink_to(tmp_path / "secret")

    copy_tree([str(source)], str(tmp_path / "target"))

    assert (tmp_path / "target/way").is_symlink()
    assert not (tmp_path / "target/way").resolve().is_relative_to(tmp_path / "target")


def test_a_directory_swapped_for_a_link_leads_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, secret = tmp_path / "source", tmp_path / "secret"
    (source / "directory").mkdir(parents=True)
    secret.mkdir()
    (secret / "key").write_text("private")

    def swap_first(root: int, path: str, flags: int, *, resolve: int) -> int:
        (source / "directory").rmdir()
        (source / "directory").symlink_to(secret)
        return open_in_root(root, path, flags, resolve=resolve)

    monkeypatch.setattr("pyrt.snapshot.copying.open_in_root", swap_first)
    with pytest.raises(SyscallError):
        copy_tree([str(source)], str(tmp_path / "target"))

    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret", "source"]


def test_an_interrupted_copy_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("x")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pyrt.snapshot.copying.copy_data", interrupt)
    with pytest.raises(KeyboardInterrupt):
        copy_tree([str(source)], str(tmp_path / "target"))

    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_tree_too_deep_is_refused(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)

    with pytest.raises(SyscallError) as caught:
        copy_tree([str(tmp_path / "d")], str(tmp_path / "target"))

    assert caught.value.errno == errno.ENAMETOOLONG
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


_COPY = "import sys; from pyrt.snapshot import copy_tree; copy_tree(sys.argv[1:2], sys.argv[2])"


@pytest.mark.needs("root")
def test_a_file_system_mounted_below_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "source/mounted").mkdir(parents=True)
    script = 'mount -t tmpfs t "$2/mounted"; touch "$2/mounted/file"; exec "$0" -c "$1" "$2" "$3"'
    arguments = [sys.executable, _COPY, f"{tmp_path}/source", f"{tmp_path}/target"]

    subprocess.run(["unshare", "--mount", "sh", "-ec", script, *arguments], check=True)

    assert list((tmp_path / "target").iterdir()) == [tmp_path / "target/mounted"]
    assert list((tmp_path / "target/mounted").iterdir()) == []


@pytest.mark.needs("root")
def test_owners_devices_and_set_id_bits_come_over_for_root(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "tool").write_text("x")
    os.chown(source / "tool", 1234, 2345)
    (source / "tool").chmod(0o6755)
    os.mknod(source / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))

    copy_tree([str(source)], str(tmp_path / "target"))

    tool, null = (tmp_path / "target/tool").stat(), (tmp_path / "target/null").stat()
    assert (tool.st_uid, tool.st_gid, stat.S_IMODE(tool.st_mode)) == (1234, 2345, 0o6755)
    assert (null.st_rdev, stat.S_IFMT(null.st_mode)) == (os.makedev(1, 3), stat.S_IFCHR)


@pytest.mark.needs("root")
def test_what_a_user_may_not_make_becomes_its_own_or_stays_behind(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "user/target"
    source.mkdir()
    (source / "tool").write_text("x")
    (source / "tool").chmod(0o4755)
    os.mknod(source / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    target.parent.mkdir()
    os.chown(target.parent, USER_ID, USER_ID)

    python_as_user(_COPY, source, target)

    status = (target / "tool").stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (USER_ID, 0o755)
    assert [path.name for path in target.iterdir()] == ["tool"]
