"""csrc/prt_copyup.h and prt_upper.h by their door: files, links, layers that lie, what failures leave (nothing)."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pyrt._native.copyup import CopyUp, Upper
from pyrt.errors import SyscallError
from pyrt.layer.copyup import copy_up, find, make_directory, remove
from tests.users import python_as_user

MIB = 1 << 20
AT_FDCWD, RENAME_EXCHANGE = -100, 2
IS_ROOT = os.geteuid() == 0


class Stack:
    """Two lowers, an upper and a work directory below one top."""

    def __init__(self, top: Path) -> None:
        self.lower1, self.lower2, self.upper, self.work = (top / name for name in ("lower1", "lower2", "upper", "work"))
        for directory in (self.lower1, self.lower2, self.upper, self.work):
            directory.mkdir()
        self.lowers = [str(self.lower1), str(self.lower2)]

    def copy_up(self, path: str, target: str | None = None) -> None:
        work, own_ids = str(self.work), not IS_ROOT
        copy_up(self.lowers, str(self.upper), path, target=target, work=work, userxattr=True, own_ids=own_ids)

    def remove(self, path: str) -> None:
        remove(self.lowers, str(self.upper), path, work=str(self.work), userxattr=True, own_ids=not IS_ROOT)

    def mkdir(self, path: str) -> None:
        make_directory(self.lowers, str(self.upper), path, work=str(self.work), userxattr=True)

    def find(self, path: str, *, follow: bool = True) -> tuple[int, str]:
        found = find(self.lowers, str(self.upper), path, follow=follow, userxattr=True)
        return found.layer, found.path

    def made(self) -> list[str]:
        return sorted(str(path.relative_to(self.upper)) for path in self.upper.rglob("*"))


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(tmp_path)
    yield made
    assert not list(made.work.iterdir()), "temporary names were left"


def whiteout(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR, 0)


def code(failure: pytest.ExceptionInfo[SyscallError]) -> int | None:
    return failure.value.errno


def test_only_one_name_of_a_hard_link_is_copied_up(stack: Stack) -> None:
    (stack.lower2 / "a").write_text("one")
    os.link(stack.lower2 / "a", stack.lower2 / "b")

    stack.copy_up("a")

    assert stack.made() == ["a"]
    assert (stack.upper / "a").stat().st_nlink == 1
    assert stack.find("b") == (2, "b")


def test_a_hard_link_to_a_lower_file_is_a_copy_and_to_an_upper_one_a_link(stack: Stack) -> None:
    (stack.lower2 / "a").write_text("one")
    (stack.upper / "old").write_text("replaced")

    stack.copy_up("a", target="new/deep/b")
    stack.copy_up("new/deep/b", target="old")

    assert stack.made() == ["new", "new/deep", "new/deep/b", "old"]
    assert (stack.upper / "old").samefile(stack.upper / "new/deep/b")
    assert (stack.upper / "old").read_text() == "one"


def test_holes_stay_holes(stack: Stack) -> None:
    with (stack.lower1 / "sparse").open("wb") as data:
        for at in (3 * MIB, 30 * MIB):
            data.seek(at)
            data.write(b"x" * 5000)
        data.truncate(64 * MIB)

    stack.copy_up("sparse")

    assert (stack.upper / "sparse").read_bytes() == (stack.lower1 / "sparse").read_bytes()
    assert (stack.upper / "sparse").stat().st_blocks * 512 < MIB


def test_a_large_file_goes_by_steps_and_appears_at_the_end(stack: Stack) -> None:
    (stack.lower1 / "large").write_bytes(os.urandom(3 * MIB))
    fds = [os.open(place, os.O_RDONLY) for place in (stack.upper, stack.lower1, stack.work)]

    with closing(CopyUp(Upper(fds[:2], work=fds[2]), "large")) as copying:
        steps = [copying.step(MIB), copying.step(MIB)]
        before = stack.made()
        steps += [copying.step(MIB), copying.step(MIB)]

    for fd in fds:
        os.close(fd)
    assert (steps, before) == ([True, True, False, False], [])
    assert (stack.upper / "large").read_bytes() == (stack.lower1 / "large").read_bytes()


def test_a_copy_that_is_given_up_leaves_nothing(stack: Stack) -> None:
    (stack.lower1 / "large").write_bytes(os.urandom(2 * MIB))
    fds = [os.open(place, os.O_RDONLY) for place in (stack.upper, stack.lower1, stack.work)]

    copying = CopyUp(Upper(fds[:2], work=fds[2]), "large")
    copying.step(MIB)
    copying.close()
    copying.close()

    for fd in fds:
        os.close(fd)
    assert not copying.step(MIB)
    assert stack.made() == []


@pytest.mark.needs("root")
def test_owner_capability_and_set_id_bits_come_along(stack: Stack) -> None:
    capability = bytes.fromhex("0000000200040000000000000000000000000000")
    (stack.lower1 / "program").write_text("x")
    os.chown(stack.lower1 / "program", 70_000, 3)
    os.chmod(stack.lower1 / "program", 0o6755)
    os.setxattr(stack.lower1 / "program", "security.capability", capability)

    stack.copy_up("program")

    st = (stack.upper / "program").stat()
    assert (st.st_uid, st.st_gid, st.st_mode) == (70_000, 3, 0o106755)
    assert os.getxattr(stack.upper / "program", "security.capability") == capability


@pytest.mark.needs("root")
def test_an_owner_is_lost_only_where_that_is_asked_for(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o755)
    for name in ("lower", "upper"):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, 61234, 61234)
    (tmp_path / "lower/program").write_text("x")
    os.chmod(tmp_path / "lower/program", 0o4755)
    program = """if True:
        import sys
        from pyrt.layer.copyup import copy_up
        lower, upper = sys.argv[1:]
        try:
            copy_up([lower], upper, "program", userxattr=True)
        except OSError as e:
            print(e.errno, e.op)
        copy_up([lower], upper, "program", userxattr=True, own_ids=True)
    """
    for above in [tmp_path, *tmp_path.parents][:-1]:
        if above.stat().st_mode & 0o005 != 0o005:
            os.chmod(above, 0o755)

    said = python_as_user(program, tmp_path / "lower", tmp_path / "upper")

    st = (tmp_path / "upper/program").stat()
    assert said == f"{errno.EPERM} chown\n"
    assert (st.st_uid, st.st_mode) == (61234, 0o100755)


def test_links_lead_on_inside_the_tree(stack: Stack) -> None:
    (stack.lower2 / "etc").mkdir()
    (stack.lower2 / "etc/passwd").write_text("inside")
    (stack.lower1 / "a").symlink_to("/etc")
    (stack.lower1 / "up").symlink_to("../../../../../etc/passwd")

    assert stack.find("up") == (2, "etc/passwd")
    assert stack.find("up", follow=False) == (1, "up")
    stack.copy_up("a/passwd")

    assert stack.made() == ["etc", "etc/passwd"]
    assert (stack.upper / "etc/passwd").read_text() == "inside"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/passwd", errno.ENOENT),
        ("../../../../etc/passwd", errno.ENOENT),
        ("none/x", errno.ENOENT),
        ("file/x", errno.ENOTDIR),
        ("file/..", errno.ENOTDIR),
        ("loop/x", errno.ELOOP),
        ("n" * 256, errno.ENAMETOOLONG),
        ("hidden", errno.ENOENT),
        ("hidden-directory/x", errno.ENOENT),
        ("opaque/x", errno.ENOENT),
        ("covered/x", errno.ENOTDIR),
        ("d/" + "../d/" * 800 + "none", errno.ENOENT),
    ],
)
def test_what_is_not_there_changes_nothing(stack: Stack, path: str, expected: int) -> None:
    (stack.lower1 / "a").symlink_to("/etc")
    (stack.lower1 / "loop").symlink_to("loop")
    (stack.lower1 / "file").touch()
    (stack.lower1 / "d").mkdir()
    (stack.lower2 / "hidden").touch()
    whiteout(stack.lower1 / "hidden")
    for name in ("hidden-directory", "opaque", "covered"):
        (stack.lower2 / name).mkdir()
        (stack.lower2 / name / "x").touch()
    whiteout(stack.lower1 / "hidden-directory")
    (stack.lower1 / "opaque").mkdir()
    os.setxattr(stack.lower1 / "opaque", "user.overlay.opaque", b"y")
    (stack.lower1 / "covered").touch()

    for verb in (stack.copy_up, stack.remove):
        with pytest.raises(SyscallError) as failure:
            verb(path)
        assert code(failure) == expected

    assert stack.made() == []


def test_a_target_is_no_directory(stack: Stack) -> None:
    (stack.lower1 / "d/e").mkdir(parents=True)
    (stack.lower1 / "file").touch()

    for path, target in (("file", "d/e"), ("file", "/"), ("d", "new")):
        with pytest.raises(SyscallError) as failure:
            stack.copy_up(path, target)
        assert code(failure) == errno.EISDIR

    assert stack.made() == []


def test_a_removed_directory_comes_back_empty(stack: Stack) -> None:
    (stack.lower2 / "d").mkdir()
    (stack.lower2 / "d/below").touch()
    (stack.upper / "d/e").mkdir(parents=True)
    (stack.upper / "d/e/f").touch()

    stack.remove("d")
    removed = stack.made(), (stack.upper / "d").lstat().st_rdev
    stack.mkdir("d")

    assert removed == (["d"], 0)
    with pytest.raises(SyscallError):
        stack.find("d/below")
    with pytest.raises(SyscallError) as failure:
        stack.mkdir("d")
    assert code(failure) == errno.EEXIST


def test_a_tree_of_any_depth_is_removed(stack: Stack) -> None:
    fd = os.open(stack.upper, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)

    stack.remove("d")

    assert stack.made() == []


@pytest.mark.parametrize(("name", "path"), [("redirect", "d/x"), ("metacopy", "d")])
def test_what_only_another_overlay_understands_is_refused(stack: Stack, name: str, path: str) -> None:
    if name == "redirect":
        (stack.lower1 / "d").mkdir()
    else:
        (stack.lower1 / "d").touch()
    os.setxattr(stack.lower1 / "d", f"user.overlay.{name}", b"/elsewhere")

    with pytest.raises(SyscallError) as failure:
        stack.copy_up(path)

    assert code(failure) == errno.EOPNOTSUPP
    assert stack.made() == []


@pytest.mark.needs("dev_shm")
def test_work_is_on_the_file_system_of_the_upper(stack: Stack, tmp_path: Path) -> None:
    (stack.lower1 / "file").touch()

    with pytest.raises(SyscallError) as failure:
        copy_up(stack.lowers, str(stack.upper), "file", work="/dev/shm")

    assert code(failure) == errno.EXDEV


def test_an_upper_that_is_swapped_for_a_link_meanwhile_leads_nowhere(stack: Stack, tmp_path: Path) -> None:
    outside, link = tmp_path / "outside", tmp_path / "link"
    outside.mkdir()
    link.symlink_to(outside)
    (stack.lower1 / "d").mkdir()
    for number in range(300):
        (stack.lower1 / f"d/{number}").write_text("x")
    (stack.upper / "d").mkdir()
    libc, done = ctypes.CDLL(None), threading.Event()

    def swap() -> None:
        while not done.is_set():
            libc.renameat2(AT_FDCWD, bytes(link), AT_FDCWD, bytes(stack.upper / "d"), RENAME_EXCHANGE)

    thread = threading.Thread(target=swap)
    thread.start()
    failures = 0
    try:
        for number in range(300):
            try:
                copy_up([str(stack.lower1)], str(stack.upper), f"d/{number}", work=str(stack.work), durable=False)
            except SyscallError:  # the link is there, and leads to nothing in the tree
                failures += 1
    finally:
        done.set()
        thread.join()

    directory = stack.upper / "d" if link.is_symlink() else link
    assert list(outside.iterdir()) == []
    assert len(list(directory.iterdir())) == 300 - failures
