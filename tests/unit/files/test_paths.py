"""pyrt.files.paths: where paths of a tree lead."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from pyrt._native.path import open_in_root
from pyrt.errors import InvalidArgument, SyscallError
from pyrt.files.paths import canonical, text_of
from pyrt.layer import LocalRoot

NAMES = ("a", "b", "file", "up", "absolute", "dangling", "loop", "..", ".", "nothing", "")


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("root")
    (top / "a/b").mkdir(parents=True)
    (top / "a/file").write_text("")
    (top / "a/up").symlink_to("../../../a")
    (top / "a/b/absolute").symlink_to("/a/up/b")
    (top / "absolute").symlink_to("/a")
    (top / "a/dangling").symlink_to("/nothing")
    (top / "a/loop").symlink_to("loop")
    return top


@pytest.fixture(scope="module")
def root(top: Path) -> Iterator[LocalRoot]:
    with closing(LocalRoot(os.open(top, os.O_PATH))) as root:
        yield root


@given(names=st.lists(st.sampled_from(NAMES), max_size=7), is_absolute=st.booleans())
def test_a_canonical_path_is_where_the_kernel_goes(
    root: LocalRoot, top: Path, names: list[str], is_absolute: bool
) -> None:
    path = "/" * is_absolute + "/".join(names)
    fd = os.open(top, os.O_PATH)
    try:
        place = open_in_root(fd, path.rstrip("/") or "/", os.O_PATH)
    except SyscallError:
        reject()  # what is missing has tests of its own
    finally:
        os.close(fd)
    try:
        found = "/" + os.path.relpath(os.readlink(f"/proc/self/fd/{place}"), top).removeprefix(".")
    finally:
        os.close(place)
    assert canonical(root, path) == found


def test_the_last_name_need_not_be_there(root: LocalRoot) -> None:
    assert canonical(root, "/absolute/nothing") == "/a/nothing"
    assert canonical(root, "/a/dangling") == "/nothing"
    assert canonical(root, "/a/dangling", follow=False) == "/a/dangling"
    for path in ("/nothing/nothing", "/a/file/x", "/a/file/..", "/a/loop", "/a/dangling/x"):
        with pytest.raises(SyscallError):
            canonical(root, path)


def test_a_path_is_text_that_a_file_can_have() -> None:
    assert text_of(PurePosixPath("/etc")) == "/etc"
    assert text_of("\udcff") == "\udcff"
    for wrong in ("", "\0", "\ud800"):
        with pytest.raises(InvalidArgument, match="target: "):
            text_of(wrong, "target")
