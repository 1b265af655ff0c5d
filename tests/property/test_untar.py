"""An archive of any dialect, cut anywhere, makes the tree that the oracle makes of it, or both refuse it."""

from __future__ import annotations

import io
import itertools
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from pyrt.errors import IntegrityError, InvalidSpec
from pyrt.layer import Applied, apply
from tests.oracles import archives
from tests.oracles.untar import Refused, Tree, snapshot, unpack

IS_ROOT = os.geteuid() == 0
NAMES = st.sampled_from(["a", "b", "c", "a/b", "a/c", "b/a", "a/b/c", "./a", "/b/c", "a//b/", "a/./c", "n" * 200, "."])
WHITEOUTS = st.sampled_from([".wh.a", "a/.wh.b", "b/.wh.a", ".wh.c", ".wh..wh..opq", "a/.wh..wh..opq", "c/.wh.x"])
ODD = st.sampled_from(["a/../b", ".wh..wh.plnk/1", ".wh..", ".wh.a/b", "\udcff", "n" * 256, "a/" * 60 + "b"])
TARGETS = st.sampled_from(["a", "b", "../b", "/a/b", ".", "..", "c/c", "/", "b/../a", "\udcfe", "t" * 120])
TYPES = st.sampled_from(
    [tarfile.REGTYPE] * 4 + [tarfile.DIRTYPE] * 4 + [tarfile.SYMTYPE] * 2 + [tarfile.LNKTYPE] * 2 + [tarfile.FIFOTYPE]
)
# An ordinary user has to look into what was made.
MODES = st.sampled_from([0o755, 0o4755, 0o2711, 0o1777, 0o500, *([0o644, 0o400, 0] if IS_ROOT else [])])
DIALECTS = st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
TIMES = st.sampled_from(["0", "1.000000001", "-1.5", "1700000000.123456789", "2", "4294967296"])
XATTRS = st.dictionaries(
    st.sampled_from(["user.a", "user.b=c", "user.overlay.opaque"]), st.binary(max_size=40), max_size=2
)


@st.composite
def entries(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    """Give a header and its data."""
    info = tarfile.TarInfo(draw(st.one_of(NAMES, NAMES, NAMES, WHITEOUTS)))
    if draw(st.integers(0, 30)) == 0:
        info.name = draw(ODD)
    info.type = draw(TYPES)
    info.mode = draw(MODES)
    info.uid, info.gid = draw(st.sampled_from([(0, 0), (1000, 50), (70000, 0), (0, 3_000_000_000)]))
    info.linkname = draw(NAMES if info.islnk() else TARGETS) if info.islnk() or info.issym() else ""
    data = draw(st.binary(max_size=1200)) if info.isreg() else b""
    info.size = len(data)
    info.mtime = int(float(draw(TIMES)))
    info.pax_headers = {"mtime": draw(TIMES)} if draw(st.booleans()) else {}
    return info, data


def packed(items: Sequence[tuple[tarfile.TarInfo, bytes]], dialect: int, xattrs: dict[str, bytes]) -> bytes:
    """Give an archive; what its dialect cannot say is left out."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=dialect) as tar:
        for info, data in items:
            if dialect == tarfile.USTAR_FORMAT:
                info.uid, info.gid, info.mtime = info.uid % 1000, info.gid % 1000, abs(info.mtime) % 2**33
            if dialect == tarfile.PAX_FORMAT and info.isreg():
                more = {f"SCHILY.xattr.{name}": os.fsdecode(value) for name, value in xattrs.items()}
                info.pax_headers = {**info.pax_headers, **more}
            try:
                tar.addfile(info, io.BytesIO(data))
            except ValueError:  # a name too long for ustar
                event("left out")
    return stream.getvalue()


def cut(raw: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """Give the archive in pieces, of these sizes again and again."""
    at = 0
    for size in itertools.cycle(sizes):
        if at >= len(raw):
            return
        yield raw[at : at + size]
        at += size


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("layers")


def check(place: Path, raw: bytes, sizes: Sequence[int], owner: Literal["archive", "caller"]) -> None:
    """Unpack by C and by the oracle, and compare."""
    twin = Tree(None if owner == "archive" else (os.geteuid(), os.getegid()), devices=IS_ROOT)
    top = tempfile.mkdtemp(dir=place)
    try:
        try:
            unpack(raw, twin)
        except Refused as refusal:
            event("refused")
            with pytest.raises(InvalidSpec):
                apply(cut(raw, sizes), top, owner=owner)
                pytest.fail(f"C does not refuse {refusal}")
        else:
            compare(apply(cut(raw, sizes), top, owner=owner), top, twin)
    finally:
        subprocess.run(["chmod", "-R", "u+rwX", top], check=True)
        shutil.rmtree(top)


def compare(done: Applied, top: str, twin: Tree) -> None:
    implied = twin.implied()
    assert set(done.pending.implied) == implied
    assert {link.path: link.target for link in done.pending.links} == twin.missing()
    assert done.pending.opaque_root == twin.is_opaque
    assert snapshot(top, without_mtime=implied) == twin.whole()


@given(
    items=st.lists(entries(), max_size=12),
    dialect=DIALECTS,
    xattrs=XATTRS,
    sizes=st.lists(st.integers(1, 2000), min_size=1, max_size=5),
    caller=st.booleans(),
)
def test_an_archive_makes_the_tree_that_the_oracle_makes(
    place: Path,
    items: list[tuple[tarfile.TarInfo, bytes]],
    dialect: int,
    xattrs: dict[str, bytes],
    sizes: list[int],
    caller: bool,
) -> None:
    check(place, packed(items, dialect, xattrs), sizes, "caller" if caller or not IS_ROOT else "archive")


@st.composite
def pieces(draw: st.DrawFn) -> list[tuple[int, bytes]]:
    """Give the data of a sparse file."""
    found, at = [], 0
    for gap, data in draw(st.lists(st.tuples(st.integers(0, 9000), st.binary(min_size=1, max_size=700)), max_size=40)):
        found.append((at + gap, data))
        at += gap + len(data)
    return found


@given(
    form=st.sampled_from([archives.sparse_old, archives.sparse_0_0, archives.sparse_0_1, archives.sparse_1_0]),
    data=pieces(),
    hole=st.integers(0, 10_000),
    sizes=st.lists(st.integers(1, 2000), min_size=1, max_size=5),
)
def test_sparse_files_have_their_holes(
    place: Path, form: archives.SparseForm, data: list[tuple[int, bytes]], hole: int, sizes: list[int]
) -> None:
    size = archives.end_of(data) + hole
    whole = bytearray(size)
    for offset, piece in data:
        whole[offset : offset + len(piece)] = piece
    top = tempfile.mkdtemp(dir=place)
    raw = archives.archive([*form(b"file", data, size), archives.Header(b"next", data=b"next")])

    done = apply(cut(raw, sizes), top)

    assert (done.size_bytes, done.entries) == (size + 4, 2)
    assert Path(top, "file").read_bytes() == whole
    assert Path(top, "next").read_bytes() == b"next"
    shutil.rmtree(top)


@given(raw=st.binary(max_size=3000), sizes=st.lists(st.integers(1, 700), min_size=1, max_size=4))
def test_what_is_no_archive_is_refused(place: Path, raw: bytes, sizes: list[int]) -> None:
    top = tempfile.mkdtemp(dir=place)
    with pytest.raises((InvalidSpec, IntegrityError)):
        apply(cut(b"x" + raw, sizes), top)
    assert os.listdir(top) == []
    os.rmdir(top)
