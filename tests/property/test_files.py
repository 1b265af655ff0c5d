"""A tree comes out of a root and into another as it was: as an archive, and without one."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import closing
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pyrt.files import copy_in, copy_out, get_archive, put_archive
from pyrt.layer import LocalRoot

NAMES = st.sampled_from(["a", "b", "ü", "\udcff", "a\nb", ".wh.a", "-", "x" * 200])
LEAVES = st.one_of(
    st.binary(max_size=2000),
    st.sampled_from(["a", "../b", "/etc/passwd", "nowhere"]),  # symbolic links
    st.sampled_from([None, (), 3_000_000]),  # a fifo, a hard link to an earlier file, a file with a hole
)
TREES = st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=4), max_leaves=12)
MODES = st.sampled_from([0o755, 0o700, 0o2775, 0o1777])


def build(place: Path, tree: object, mode: int, files: list[Path]) -> None:
    if isinstance(tree, dict):
        place.mkdir()
        for name, inner in tree.items():
            build(place / name, inner, mode, files)
        place.chmod(mode)
    elif isinstance(tree, str):
        place.symlink_to(tree)
    elif isinstance(tree, bytes):
        place.write_bytes(tree)
        place.chmod(mode & 0o777)
        files.append(place)
    elif tree == () and files:
        os.link(files[0], place)
    elif isinstance(tree, int):
        with place.open("wb") as file:
            file.truncate(tree)
            file.write(b"start")
    else:
        os.mkfifo(place)
    if not place.is_symlink():
        os.utime(place, (1_000_000_000, 1_100_000_000))


def listing(top: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in [top, *top.rglob("*")]:
        status = path.lstat()
        kind = stat.S_IFMT(status.st_mode)
        content: object = None
        if kind == stat.S_IFREG:
            content = path.read_bytes()
        elif kind == stat.S_IFLNK:
            content = os.readlink(path)
        times = status.st_mtime_ns if kind != stat.S_IFLNK else 0
        links = status.st_nlink if kind == stat.S_IFREG else 0
        found[str(path.relative_to(top))] = (status.st_mode, status.st_uid, links, times, content)
    return found


@given(tree=st.dictionaries(NAMES, TREES, max_size=5), mode=MODES)
@settings(max_examples=60)
def test_both_ways_give_the_same_tree(tree: dict[str, object], mode: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        (top / "container").mkdir()
        build(top / "container/tree", tree, mode, [])
        before = listing(top / "container/tree")
        with closing(LocalRoot(os.open(top / "container", os.O_PATH))) as root:
            copy_out(root, "/tree", top / "out", archive=os.geteuid() == 0)
            copy_in(root, top / "out", "/in", archive=os.geteuid() == 0)
            (top / "container/unpacked").mkdir()
            put_archive(root, "/unpacked", get_archive(root, "/tree", chunk_size=700)[0])

        masked = before if os.geteuid() == 0 else without_set_ids(before)
        assert listing(top / "out") == masked
        assert listing(top / "container/in") == masked
        assert listing(top / "container/unpacked/tree") == before


def without_set_ids(found: dict[str, tuple[object, ...]]) -> dict[str, tuple[object, ...]]:
    """Give what a copy without `archive` leaves of a listing."""
    return {name: (int(str(mode)) & ~0o6000, *rest) for name, (mode, *rest) in found.items()}
