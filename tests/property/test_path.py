"""Both ways of resolving a path lead where the oracle says, and where the kernel leads a chrooted process."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt._native.path import open_in_root
from pyrt.errors import SyscallError
from tests.gates import why_shut
from tests.oracles.chroot import Chroot
from tests.oracles.path import resolve

NO_SYMLINKS = 4
NAMES = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"..", b".", b"", b"\xff"])
PATHS = st.lists(NAMES, min_size=1, max_size=6).map(b"/".join).filter(bool)
TARGETS = PATHS | st.binary(min_size=1, max_size=300).filter(lambda target: b"\0" not in target)
PLACES = st.lists(st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"\xff"]), min_size=1, max_size=3).map(b"/".join)
TREES = st.dictionaries(PLACES, st.sampled_from([b"file", b"directory"]) | TARGETS.map(lambda t: b"->" + t), max_size=9)


@pytest.fixture(scope="module")
def chroot() -> Iterator[Chroot | None]:
    """Give the kernel's own word, for root."""
    if why_shut("root") is not None:
        yield None
        return
    with Chroot() as helper:
        yield helper


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trees")


def plant(top: bytes, tree: dict[bytes, bytes]) -> None:
    """Make what the tree says; what has no place, for a file or link is above it, is left out."""
    for path, kind in sorted(tree.items()):
        parent = os.path.dirname(os.path.join(top, path))
        if os.path.realpath(parent) != parent or not os.path.isdir(parent):
            continue
        name = os.path.join(top, path)
        if kind == b"file":
            open(name, "xb").close()
        elif kind == b"directory":
            os.mkdir(name)
        else:
            os.symlink(kind[2:], name)


def opened(root: int, path: bytes, flags: int, resolve: int, *, walk: bool) -> tuple[int, int] | int:
    try:
        fd = open_in_root(root, path, flags, resolve=resolve, walk=walk)
    except SyscallError as error:
        return error.errno or 0
    found = os.fstat(fd)
    os.close(fd)
    return found.st_dev, found.st_ino


@given(
    tree=TREES,
    paths=st.lists(PATHS, min_size=1, max_size=4),
    nofollow=st.booleans(),
    directory=st.booleans(),
    symlinks=st.booleans(),
)
def test_a_path_leads_where_it_does_in_a_chroot(
    place: Path,
    chroot: Chroot | None,
    tree: dict[bytes, bytes],
    paths: list[bytes],
    nofollow: bool,
    directory: bool,
    symlinks: bool,
) -> None:
    top = os.fsencode(tempfile.mkdtemp(dir=place))
    plant(top, tree)
    root = os.open(top, os.O_PATH)
    flags = os.O_PATH | os.O_NOFOLLOW * nofollow | os.O_DIRECTORY * directory
    try:
        for path in paths:
            end = resolve(top, path, nofollow=nofollow, directory=directory, symlinks=symlinks)
            wanted = end if isinstance(end, int) else (os.lstat(end).st_dev, os.lstat(end).st_ino)
            for walk in (False, True):
                assert opened(root, path, flags, 0 if symlinks else NO_SYMLINKS, walk=walk) == wanted, (path, walk)
            if symlinks and chroot is not None:
                assert chroot.open(top, path, flags) == wanted, path
    finally:
        os.close(root)
        shutil.rmtree(top)
