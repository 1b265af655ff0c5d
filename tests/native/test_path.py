"""csrc/prt_path.h: both ways of resolving, in the kernel and by components, on the same trees."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.native.library import Csrc, Failure

O_PATH, NOFOLLOW, DIRECTORY, CREAT, EXCL = os.O_PATH, os.O_NOFOLLOW, os.O_DIRECTORY, os.O_CREAT, os.O_EXCL
NO_SYMLINKS = 4
BOTH = pytest.mark.parametrize("way", ["prt_path_open", "prt_path_walk"])


class Case(NamedTuple):
    """A path and flags, and the place below the root that they lead to or the error."""

    path: str
    flags: int
    leads_to: str | int
    resolve: int = 0


CASES = [
    Case("", O_PATH, "."),
    Case("/", O_PATH, "."),
    Case("a/b/file", O_PATH, "a/b/file"),
    Case("//a/./b//file", os.O_RDONLY, "a/b/file"),
    Case("../../a/..//../a", O_PATH, "a"),
    Case("a/file/..", O_PATH, errno.ENOTDIR),
    Case("a/b/file/", O_PATH, errno.ENOTDIR),
    Case("a/b/file/.", O_PATH, errno.ENOTDIR),
    Case("a/b/none", O_PATH, errno.ENOENT),
    Case("none/../a", O_PATH, errno.ENOENT),
    Case("a/b/file", O_PATH | DIRECTORY, errno.ENOTDIR),
    Case("up", O_PATH, "a"),
    Case("up", O_PATH | NOFOLLOW, "up"),
    Case("up/", O_PATH | NOFOLLOW, "a"),
    Case("up", os.O_RDONLY | NOFOLLOW, errno.ELOOP),
    Case("up", O_PATH, errno.ELOOP, NO_SYMLINKS),
    Case("up", O_PATH | NOFOLLOW, "up", NO_SYMLINKS),
    Case("up/b", O_PATH | NOFOLLOW, errno.ELOOP, NO_SYMLINKS),
    Case("absolute/file", O_PATH, "a/b/file"),
    Case("a/rooted/file", O_PATH, "a/b/file"),
    Case("outside", O_PATH, "."),
    Case("a/deep", O_PATH, "a/b"),
    Case("dangling", O_PATH, errno.ENOENT),
    Case("loop", O_PATH, errno.ELOOP),
    Case("dangling", os.O_WRONLY | CREAT | EXCL, errno.EEXIST),
    Case("a", os.O_WRONLY | CREAT | EXCL, errno.EEXIST),
    Case("a/", os.O_WRONLY | CREAT, errno.EISDIR),
    Case("slashed", O_PATH, errno.ENOTDIR),
    Case("chain40", O_PATH, "a"),
    Case("chain41", O_PATH, errno.ELOOP),
    Case("n" * 255, O_PATH, errno.ENOENT),
    Case("n" * 256, O_PATH, errno.ENAMETOOLONG),
    Case("a/../" * 818 + "a/b/", O_PATH, "a/b"),
    Case("a/../" * 818 + "a/b//", O_PATH, "a/b"),
    Case("a/../" * 819 + "a", O_PATH, errno.ENAMETOOLONG),
]


@pytest.fixture
def tree(root: int, tmp_path: Path) -> Path:
    """Fill the root, and put something beside it that no path may reach."""
    top = tmp_path / "root"
    (top / "a/b").mkdir(parents=True)
    (top / "a/b/file").write_text("inside")
    (top / "a/file").write_text("inside")
    links = {
        "up": "a",
        "absolute": "/a/b",
        "outside": "../../..",
        "a/deep": "../up/b",
        "a/rooted": "/a/b",
        "dangling": "/nowhere",
    }
    links |= {"loop": "/pool", "pool": "loop", "slashed": "a/file/", "chain1": "a"}
    for name, target in (links | {f"chain{n}": f"chain{n - 1}" for n in range(2, 42)}).items():
        (top / name).symlink_to(target)
    (tmp_path / "secret").write_text("outside")
    return top


@pytest.fixture
def closing() -> Iterator[Callable[[int], int]]:
    """Give a function that takes a descriptor and has it closed at the end."""
    fds: list[int] = []

    def add(fd: int) -> int:
        fds.append(fd)
        return fd

    yield add
    for fd in fds:
        os.close(fd)


def identity(st: os.stat_result) -> tuple[int, int]:
    return st.st_dev, st.st_ino


@BOTH
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.path[:20]}-{case.flags:o}-{case.resolve}")
def test_a_path_leads_where_it_would_in_a_chroot(
    csrc: Csrc, tree: Path, root: int, way: str, case: Case, closing: Callable[[int], int]
) -> None:
    arguments = (root, os.fsencode(case.path), case.flags, 0o600, case.resolve)
    if isinstance(case.leads_to, int):
        with pytest.raises(Failure) as caught:
            csrc.call(way, *arguments)
        assert errno.errorcode[caught.value.code] == errno.errorcode[case.leads_to]
        assert caught.value.path == case.path[:255]
        return

    fd = closing(csrc.call(way, *arguments))

    assert identity(os.fstat(fd)) == identity(os.lstat(tree / case.leads_to))
    assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC


@BOTH
def test_a_file_is_made_where_the_path_leads(
    csrc: Csrc, tree: Path, root: int, way: str, closing: Callable[[int], int]
) -> None:
    (tree / "link").symlink_to("/a/new")

    fd = closing(csrc.call(way, root, b"link", os.O_WRONLY | CREAT, 0o640, 0))

    assert os.write(fd, b"x") == 1
    assert (tree / "a/new").read_bytes() == b"x"
    assert (tree / "a/new").stat().st_mode & 0o777 == 0o640 & ~umask()


def umask() -> int:
    """Give the umask without changing it for other threads."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Umask:"))
    return int(line.split()[1], 8)


def test_the_walk_says_where_it_ends(csrc: Csrc, root: int, tmp_path: Path) -> None:
    deep = b"d/" * 300
    os.makedirs(os.fsencode(tmp_path / "root") + b"/" + deep)

    os.close(csrc.call("prt_path_walk", root, deep[:512], O_PATH, 0, 0))
    with pytest.raises(Failure) as caught:
        csrc.call("prt_path_walk", root, deep, O_PATH, 0, 0)

    assert caught.value.code == errno.ENAMETOOLONG


def test_a_walk_without_descriptors_left_holds_none(csrc: Csrc, tree: Path, root: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(csrc.call("prt_path_mkdirs", root, b"x/" * 8, 0o755))
    probe = os.dup(root)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe + 4, hard))
    try:
        with pytest.raises(Failure) as caught:
            csrc.call("prt_path_walk", root, b"x/" * 8, O_PATH, 0, 0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert caught.value.code == errno.EMFILE
    again = os.dup(root)
    os.close(again)
    assert again == probe


def test_directories_are_made_below_the_root(csrc: Csrc, tree: Path, root: int, closing: Callable[[int], int]) -> None:
    made = closing(csrc.call("prt_path_mkdirs", root, b"/absolute/../../../new/one/", 0o755))

    assert identity(os.fstat(made)) == identity((tree / "new/one").stat())
    assert os.path.isdir(tree / "new/one")
    assert not (tree.parent / "new").exists()


@pytest.mark.parametrize("name", ["prt_path_mkdirs", "prt_path_mkfile"])
def test_a_dangling_link_is_in_the_way(csrc: Csrc, tree: Path, root: int, name: str) -> None:
    with pytest.raises(Failure, match="dangling"):
        csrc.call(name, root, b"dangling", 0o755)

    assert not (tree / "nowhere").exists()


def test_a_file_in_the_way_is_no_directory(csrc: Csrc, tree: Path, root: int) -> None:
    with pytest.raises(Failure) as caught:
        csrc.call("prt_path_mkdirs", root, b"a/file/x", 0o755)

    assert caught.value.code == errno.ENOTDIR


def test_a_file_and_its_parents_are_made(csrc: Csrc, tree: Path, root: int, closing: Callable[[int], int]) -> None:
    made = closing(csrc.call("prt_path_mkfile", root, b"absolute/x/y", 0o600))
    found = closing(csrc.call("prt_path_mkfile", root, b"absolute/x/y", 0o600))

    assert identity(os.fstat(made)) == identity(os.fstat(found)) == identity((tree / "a/b/x/y").stat())


@pytest.mark.parametrize("path", [b"", b"/", b"///", b".", b"..", b"a/..", b"a/.", b"../", b"a/..//"])
def test_a_parent_is_of_an_entry(csrc: Csrc, tree: Path, root: int, path: bytes) -> None:
    name = csrc.ffi.new("const char **")

    with pytest.raises(Failure) as caught:
        csrc.call("prt_path_parent", root, path, 0o755, name)

    assert caught.value.code == errno.EINVAL


@pytest.mark.parametrize(
    ("path", "parent", "name"), [(b"x", ".", b"x"), (b"up/...", "a", b"..."), (b"/a/.x", "a", b".x")]
)
def test_a_parent_is_opened(
    csrc: Csrc, tree: Path, root: int, path: bytes, parent: str, name: bytes, closing: Callable[[int], int]
) -> None:
    text, found = csrc.ffi.new("char[]", path), csrc.ffi.new("const char **")

    fd = closing(csrc.call("prt_path_parent", root, text, 0o755, found))

    assert identity(os.fstat(fd)) == identity((tree / parent).stat())
    assert csrc.ffi.string(found[0]) == name


@pytest.mark.parametrize("name", ["prt_path_mkdirs", "prt_path_mkfile"])
def test_many_may_make_the_same_at_once(csrc: Csrc, root: int, name: str) -> None:
    failures: list[Failure] = []
    barrier = threading.Barrier(4)

    def make() -> None:
        for n in range(100):
            barrier.wait()
            try:
                os.close(csrc.call(name, root, b"%d/shared/place" % n, 0o755))
            except Failure as failure:
                failures.append(failure)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


@BOTH
def test_no_rename_leads_out(csrc: Csrc, tree: Path, root: int, tmp_path: Path, way: str) -> None:
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            os.rename(tree / "a/b", tmp_path / "moved")
            os.rename(tmp_path / "moved", tree / "a/b")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(3000):
            with_luck(csrc, way, root, b"a/b/../../../secret")
    finally:
        over.set()
        thread.join()


def with_luck(csrc: Csrc, way: str, root: int, path: bytes) -> None:
    """Open a path that must not be there, whatever happens meanwhile."""
    with pytest.raises(Failure) as caught:
        csrc.call(way, root, path, os.O_RDONLY, 0, 0)
    assert caught.value.code in (errno.ENOENT, errno.EXDEV)
