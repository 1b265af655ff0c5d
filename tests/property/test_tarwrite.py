"""The archive of a tree is the oracle's byte for byte, however and wherever the tree was made; others read it."""

from __future__ import annotations

import io
import os
import random
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrt._native.tarwrite import ROOT, USERXATTR, TarWriter
from pyrt.layer import apply, write
from tests.layers import IS_ROOT, TREES, Node, plant
from tests.oracles import tarwrite as oracle
from tests.oracles.untar import snapshot

# Names at the borders of 100 bytes and (with .wh.) 255, in UTF-8 and not; as latin-1, like those of tests.layers.
ODD = st.sampled_from(["a", "-", "ä", "\xc3\xa4", "\xe2\x82\xac", "\xed\xa0\x80", "\n", "n" * 99, "n" * 100, "n" * 251])
NAMES = st.fixed_dictionaries(
    {}, optional={name: ODD | st.text("xyz \xff", min_size=1, max_size=120) for name in "abc"}
)
PLANTED = st.tuples(TREES, NAMES).map(lambda drawn: renamed(*drawn))


def renamed(tree: dict[str, Node], names: dict[str, str]) -> dict[str, Node]:
    """Give the tree with other names in its paths; those that fall together are one."""
    return {"/".join(names.get(part, part) for part in path.split("/")): node for path, node in tree.items()}


@contextmanager
def planted(tree: dict[str, Node], *, where: str | None = None) -> Iterator[bytes]:
    top = tempfile.mkdtemp(dir=where)
    try:
        plant(f"{top}/tree", tree, userxattr=not IS_ROOT)
        yield os.fsencode(f"{top}/tree")
    finally:
        shutil.rmtree(top)


def written(top: bytes) -> bytes:
    return b"".join(write(os.fsdecode(top), userxattr=not IS_ROOT))


@given(PLANTED, st.booleans(), st.none() | st.integers(0, 10**9))
def test_native_and_oracle_write_the_same_bytes(tree: dict[str, Node], root: bool, latest: int | None) -> None:
    with planted(tree) as top:
        got = b"".join(write(os.fsdecode(top), root=root, latest=latest, userxattr=not IS_ROOT))

        assert got == oracle.archive(top, root=root, latest=latest, userxattr=not IS_ROOT)


@given(PLANTED, st.lists(st.integers(1, 3000), min_size=1, max_size=4))
def test_the_size_of_the_steps_does_not_matter(tree: dict[str, Node], sizes: list[int]) -> None:
    with planted(tree) as top:
        fd = os.open(top, os.O_PATH)
        writer = TarWriter(fd, ROOT | (0 if IS_ROOT else USERXATTR))
        os.close(fd)
        pieces: list[bytes] = []
        while piece := writer.step(sizes[len(pieces) % len(sizes)]):
            pieces.append(piece)
        writer.close()

        assert b"".join(pieces) == oracle.archive(top, root=True, userxattr=not IS_ROOT)
        for number, piece in enumerate(pieces[:-1]):
            assert len(piece) == sizes[number % len(sizes)]


@given(PLANTED)
def test_a_layer_comes_back_as_it_was(tree: dict[str, Node]) -> None:
    with planted(tree) as top, tempfile.TemporaryDirectory() as other:
        if not IS_ROOT:
            os.chmod(top, 0o755)
        raw = written(top)

        applied = apply([raw], other, owner="archive")

        assert written(os.fsencode(other)) == raw
        assert not applied.pending.links
        want, got = snapshot_of(top), snapshot_of(os.fsencode(other))
        assert want == got


def snapshot_of(top: bytes) -> dict[str, tuple[object, ...]]:
    """Give the whole tree but the root, whose own times and opacity are not the archive's."""
    for directory, _, _ in os.walk(top):
        mark = {"user.overlay.opaque", "trusted.overlay.opaque"} if IS_ROOT else {"user.overlay.opaque"}
        if mark & set(os.listxattr(directory)):
            for name in mark:
                os.setxattr(directory, name, b"y")
    whole = snapshot(os.fsdecode(top))
    return {path: node for path, node in whole.items() if path}


@settings(max_examples=30)
@given(PLANTED, st.randoms(use_true_random=False))
@pytest.mark.needs("dev_shm")
def test_neither_order_nor_file_system_matter(tree: dict[str, Node], chance: random.Random) -> None:
    with planted(tree) as top, tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        shuffled_copy(top, os.fsencode(memory) + b"/tree", chance)

        assert written(os.fsencode(memory) + b"/tree") == written(top)


def shuffled_copy(top: bytes, to: bytes, chance: random.Random, first: dict[int, bytes] | None = None) -> None:
    """Copy a tree, making its entries in any order; `first` are the first names of inodes."""
    first = {} if first is None else first
    os.mkdir(to)
    names = os.listdir(top)
    chance.shuffle(names)
    for name in names:
        place, copy = os.path.join(top, name), os.path.join(to, name)
        st_ = os.lstat(place)
        if stat.S_ISDIR(st_.st_mode):
            shuffled_copy(place, copy, chance, first)
            continue
        if st_.st_ino in first:
            os.link(first[st_.st_ino], copy, follow_symlinks=False)
            continue
        first[st_.st_ino] = copy
        if stat.S_ISLNK(st_.st_mode):
            os.symlink(os.readlink(place), copy)
        elif stat.S_ISREG(st_.st_mode):
            shutil.copyfile(place, copy)
        else:
            os.mknod(copy, st_.st_mode, st_.st_rdev)
        attributes(place, copy)
    attributes(top, to)


def attributes(place: bytes, copy: bytes) -> None:
    st_ = os.lstat(place)
    if IS_ROOT:
        os.chown(copy, st_.st_uid, st_.st_gid, follow_symlinks=False)
    for name in os.listxattr(place, follow_symlinks=False):
        os.setxattr(copy, name, os.getxattr(place, name, follow_symlinks=False), follow_symlinks=False)
    if not stat.S_ISLNK(st_.st_mode) and (IS_ROOT or not stat.S_ISCHR(st_.st_mode)):
        os.chmod(copy, stat.S_IMODE(st_.st_mode))
    os.utime(copy, ns=(st_.st_mtime_ns, st_.st_mtime_ns), follow_symlinks=False)


@given(PLANTED)
def test_tarfile_reads_every_entry(tree: dict[str, Node]) -> None:
    with planted(tree) as top, tarfile.open(fileobj=io.BytesIO(written(top)), errors="surrogateescape") as archive:
        for info in archive:
            place = os.path.join(top, os.fsencode(info.name))
            marks, (above, name) = (info.mode, info.size, info.mtime), os.path.split(place)
            if name == b".wh..wh..opq":
                assert marks == (0o600, 0, 0)
                continue
            if name.startswith(b".wh."):
                assert stat.S_ISCHR(os.lstat(os.path.join(above, name[4:])).st_mode)
                assert marks == (0o600, 0, 0)
                continue
            found = os.lstat(place)
            assert (info.mode, info.uid, info.gid) == (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)
            assert round(info.mtime - found.st_mtime, 5) == 0
            if info.isreg():
                data = archive.extractfile(info)
                assert data is not None and data.read() == Path(os.fsdecode(place)).read_bytes()
            if info.islnk():
                assert os.path.samestat(found, os.lstat(os.path.join(top, os.fsencode(info.linkname))))
            if info.issym():
                assert os.fsencode(info.linkname) == os.readlink(place)
