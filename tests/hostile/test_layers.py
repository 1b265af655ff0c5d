"""Layers made to hurt: whatever an archive says, nothing outside of its root is touched; what is refused is named."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pyrt.errors import InvalidSpec
from pyrt.layer import Applied, Limits, apply, settle
from tests.oracles.archives import Header, archive, pax, sparse_1_0
from tests.users import python_as_user

DIRECTORY, SYMLINK, LINK = b"5", b"2", b"1"


@pytest.fixture(autouse=True)
def treasure(tmp_path: Path) -> Iterator[Path]:
    """A directory beside the layer, which is the same after every test."""
    made = tmp_path / "treasure"
    (made / "inner").mkdir(parents=True)
    (made / "file").write_text("precious")
    before = described(tmp_path)
    yield made
    assert described(tmp_path) == before


def described(top: Path) -> object:
    treasure = [top / "treasure", *(top / "treasure").rglob("*")]
    seen = [(str(path), path.lstat().st_mtime_ns, path.lstat().st_nlink, path.lstat().st_mode) for path in treasure]
    return seen, (top / "treasure/file").read_text(), set(os.listdir(top)) - {"layer", "upper", "lower"}


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    return tmp_path / "layer"


def unpack(layer: Path, *headers: Header) -> Applied:
    return apply([archive(headers)], str(layer))


def paths(layer: Path) -> list[str]:
    return sorted(str(path.relative_to(layer)) for path in layer.rglob("*"))


@pytest.mark.parametrize(
    "name", [b"../treasure/x", b"a/../../treasure/x", b"..", b"/..", b"./..", b"a/..", b"//../treasure/file", b"../"]
)
@pytest.mark.parametrize("type", [b"0", DIRECTORY, SYMLINK, LINK, b"6"])
def test_names_that_lead_upwards(layer: Path, name: bytes, type: bytes) -> None:
    with pytest.raises(InvalidSpec, match=r"\.\."):
        unpack(layer, Header(b"a", type=DIRECTORY), Header(name, type=type, link=b"x", data=b"evil"))
    assert paths(layer) == ["a"]


def test_absolute_names_begin_at_the_root(layer: Path, treasure: Path) -> None:
    place = os.fsencode(treasure)

    unpack(layer, Header(place + b"/file", data=b"evil"), Header(b"///etc//x", data=b"x"))

    assert (layer / str(treasure)[1:] / "file").read_text() == "evil"
    assert (layer / "etc/x").exists()


@pytest.mark.parametrize(
    "target", ["..", "../treasure", "{treasure}", "/proc/self/cwd", "../../../../../../..", "loop"]
)
@pytest.mark.parametrize("way", ["file", "directory", "whiteout", "opaque", "link", "node"])
def test_symlinks_do_not_lead_out(layer: Path, treasure: Path, target: str, way: str) -> None:
    link = Header(b"loop" if target == "loop" else b"s", type=SYMLINK, link=target.format(treasure=treasure).encode())
    below = {
        "file": Header(link.name + b"/file", data=b"evil"),
        "directory": Header(link.name + b"/inner", type=DIRECTORY, mode=0),
        "whiteout": Header(link.name + b"/.wh.file"),
        "opaque": Header(link.name + b"/inner/.wh..wh..opq"),
        "link": Header(link.name + b"/file", type=LINK, link=b"x"),
        "node": Header(link.name + b"/file", type=b"6"),
    }

    try:
        unpack(layer, Header(b"x", data=b"x"), link, below[way])
    except InvalidSpec as refusal:
        assert target == "loop", refusal
    assert (layer / os.fsdecode(link.name)).is_symlink()


def test_nothing_is_written_through_a_symlink(layer: Path, treasure: Path) -> None:
    for number, kind in enumerate([b"0", DIRECTORY, LINK, b"6", SYMLINK]):
        top = Path(f"{layer}/{number}") if layer.exists() else layer / str(number)
        layer.mkdir(exist_ok=True)
        unpack(
            top,
            Header(b"x", data=b"x"),
            Header(b"s", type=SYMLINK, link=os.fsencode(treasure / "file")),
            Header(b"s", type=kind, link=b"x", data=b"evil" if kind == b"0" else b"", mode=0o777),
        )
        assert stat.S_IFMT((top / "s").lstat().st_mode) != stat.S_IFLNK or kind == SYMLINK


def test_a_symlink_that_changes_between_entries(layer: Path) -> None:
    unpack(
        layer,
        Header(b"real", type=DIRECTORY),
        Header(b"s", type=SYMLINK, link=b"real"),
        Header(b"s/one", data=b"1"),
        Header(b"s", type=SYMLINK, link=b"../treasure"),
        Header(b"s/two", data=b"2"),
        Header(b"s", type=DIRECTORY),
        Header(b"s/three", data=b"3"),
        Header(b"s", type=SYMLINK, link=b"/treasure"),
        Header(b"s/file", data=b"4"),
    )

    assert paths(layer) == ["real", "real/one", "s", "treasure", "treasure/file", "treasure/two"]


def test_a_symlink_that_another_process_swaps(layer: Path, tmp_path: Path) -> None:
    """Parents are opened once and never by a name that could have changed since."""
    layer.mkdir()
    (tmp_path / "upper").mkdir()
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            for name in os.listdir(layer):
                try:
                    os.rename(layer / name, tmp_path / "upper/gone")
                    os.symlink(tmp_path / "treasure", layer / name)
                    os.unlink(layer / name)
                    os.rename(tmp_path / "upper/gone", layer / name)
                except OSError:
                    continue

    thread = threading.Thread(target=swap)
    fd = os.open(layer, os.O_RDONLY)

    def chunks() -> Iterator[bytes]:
        thread.start()
        for n in range(1500):
            yield archive([Header(b"inner/%d/x" % (n % 3), data=b"x"), Header(b"inner/file", data=b"evil")], end=b"")

    try:
        apply(chunks(), fd)
    except Exception as error:  # what the swapping makes impossible is refused
        assert type(error).__name__ in ("InvalidSpec", "SyscallError"), error
    finally:
        over.set()
        thread.join()
        os.close(fd)


@pytest.mark.parametrize("target", ["../treasure/file", "/../treasure/file", "a/../../treasure/file"])
def test_hard_links_upwards(layer: Path, target: str) -> None:
    with pytest.raises(InvalidSpec, match=r"\.\."):
        unpack(layer, Header(b"l", type=LINK, link=target.encode()))


def test_hard_links_stay_inside(layer: Path, treasure: Path) -> None:
    done = unpack(
        layer,
        Header(b"out", type=SYMLINK, link=b"../treasure"),
        Header(b"absolute", type=LINK, link=os.fsencode(treasure / "file")),
        Header(b"through", type=LINK, link=b"out/file"),
        Header(b"itself", type=LINK, link=b"out"),
    )

    assert {link.path for link in done.pending.links} == {"absolute", "through"}
    assert (layer / "itself").is_symlink()
    with pytest.raises(InvalidSpec, match="no layer has"):
        settle(str(layer), done.pending, [])


def test_hard_links_across_layers_stay_inside(layer: Path, tmp_path: Path) -> None:
    (tmp_path / "lower").mkdir()
    (tmp_path / "lower/out").symlink_to("../treasure")
    (tmp_path / "lower/d").mkdir()
    done = unpack(layer, Header(b"l", type=LINK, link=b"out/file"))

    with pytest.raises(InvalidSpec, match="no layer has"):
        settle(str(layer), done.pending, [str(tmp_path / "lower")])
    second = apply([archive([Header(b"l", type=LINK, link=b"out")])], str(tmp_path / "upper"))
    settle(str(tmp_path / "upper"), second.pending, [str(tmp_path / "lower")])
    assert os.readlink(tmp_path / "upper/l") == "../treasure"


def test_hard_links_through_a_loop(layer: Path) -> None:
    with pytest.raises(InvalidSpec, match="too many symbolic links"):
        unpack(layer, Header(b"s", type=SYMLINK, link=b"s"), Header(b"l", type=LINK, link=b"s/f"))


def test_hard_links_to_directories(layer: Path) -> None:
    for target in (b"d", b".", b"/"):
        with pytest.raises(InvalidSpec, match="directory"):
            apply([archive([Header(b"d", type=DIRECTORY), Header(b"l", type=LINK, link=target)])], str(layer))
        subprocess.run(["rm", "-rf", layer], check=True)


def test_a_hard_link_that_replaces_where_its_target_is(layer: Path) -> None:
    with pytest.raises(InvalidSpec, match="replaces"):
        unpack(layer, Header(b"d/f", data=b"x"), Header(b"d", type=LINK, link=b"d/f"))
    assert unpack_again(layer, Header(b"f", data=b"x"), Header(b"f", type=LINK, link=b"f")).entries == 2
    assert (layer / "f").read_text() == "x"


def unpack_again(layer: Path, *headers: Header) -> Applied:
    subprocess.run(["rm", "-rf", layer], check=True)
    return unpack(layer, *headers)


@pytest.mark.parametrize("name", [b".wh.", b".wh..", b".wh...", b"d/.wh...", b"./.wh..", b"d/.wh./"])
def test_whiteouts_of_what_cannot_be(layer: Path, name: bytes) -> None:
    with pytest.raises(InvalidSpec, match="whiteout"):
        unpack(layer, Header(b"d", type=DIRECTORY), Header(name))
    assert paths(layer) == ["d"]


def test_a_whiteout_is_no_directory(layer: Path) -> None:
    with pytest.raises(InvalidSpec, match="whiteout"):
        unpack(layer, Header(b".wh.x/y"))


def test_books_of_aufs_are_skipped(layer: Path) -> None:
    done = unpack(
        layer, Header(b".wh..wh.plnk", type=DIRECTORY), Header(b".wh..wh.plnk/1.2", data=b"x"), Header(b".wh..wh.aufs")
    )

    assert (paths(layer), done.skipped.aufs) == ([], 3)


def test_whiteouts_in_disguise(layer: Path) -> None:
    with pytest.raises(InvalidSpec, match="0/0"):
        unpack(layer, Header(b"x", type=b"3"))


@pytest.mark.parametrize("name", ["trusted.overlay.opaque", "user.overlay.redirect", "trusted.overlay.metacopy"])
@pytest.mark.parametrize("form", ["SCHILY", "LIBARCHIVE"])
def test_an_archive_does_not_speak_to_overlayfs(layer: Path, name: str, form: str) -> None:
    value = b"/../treasure" if form == "SCHILY" else b"Ly4u"
    records = {f"{form}.xattr.{name}".encode(): value}

    done = unpack(
        layer, pax(records), Header(b"d", type=DIRECTORY), pax(records), Header(b"f"), pax(records, type=b"g")
    )

    assert done.skipped.overlay_xattrs == 2
    assert not [found for path in ("d", "f") for found in os.listxattr(layer / path) if "overlay" in found]


@pytest.mark.parametrize("type", [b"0", DIRECTORY, SYMLINK, LINK])
def test_long_names(layer: Path, type: bytes) -> None:
    for name in (b"n" * 5000, b"n" * 256, b"a/" * 2047 + b"bb", b"a/" * 2500):
        with pytest.raises(InvalidSpec, match=r"name|long"):
            unpack(layer, pax({b"path": name}), Header(b"x", type=type, link=b"y"))
        assert paths(layer) == []
        with pytest.raises(InvalidSpec, match=r"name|long"):
            unpack_again(
                layer, Header(b"././@LongLink", type=b"L", data=name + b"\0"), Header(b"x", type=type, link=b"y")
            )
        subprocess.run(["rm", "-rf", layer], check=True)
    with pytest.raises(InvalidSpec, match=r"name|long"):
        unpack(layer, pax({b"linkpath": b"t" * 5000}), Header(b"x", type=SYMLINK))


def test_depth_behind_symlinks_ends(layer: Path) -> None:
    deep = b"d/" * 1000
    headers = []
    for n in range(6):
        headers += [pax({b"path": b"s%d/%se" % (n, deep)}), Header(b"x", type=DIRECTORY)]
        headers += [pax({b"linkpath": b"s%d/%se" % (n, deep)}), Header(b"s%d" % (n + 1), type=SYMLINK)]

    with pytest.raises(InvalidSpec, match="behind symbolic links"):
        unpack(layer, *headers)
    subprocess.run(["rm", "-rf", layer], check=True)


def test_a_deep_tree_is_replaced(layer: Path) -> None:
    deep = b"d/" * 2000

    done = unpack(layer, pax({b"path": deep + b"f"}), Header(b"x", data=b"x"), Header(b"d", data=b"flat"))

    assert (paths(layer), done.pending.implied) == (["d"], ("",))
    assert (layer / "d").read_text() == "flat"


def test_kinds_replace_each_other(layer: Path) -> None:
    kinds = [Header(b"x", data=b"x"), Header(b"x/", type=DIRECTORY), Header(b"x", type=SYMLINK, link=b"../treasure")]
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 1], [1, 2, 1], [2, 0, 2], [0, 2, 1]):
        unpack_again(layer, *(kinds[n] for n in order))
        assert stat.S_IFMT((layer / "x").lstat().st_mode) == (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)[order[-1]]


def test_a_file_is_no_parent(layer: Path) -> None:
    with pytest.raises(InvalidSpec, match="directory"):
        unpack(layer, Header(b"f", data=b"x"), Header(b"f/g", data=b"y"))


@pytest.mark.parametrize(
    "headers",
    [
        [Header(b"f", size=1 << 40)],
        [pax({b"size": b"%d" % (1 << 62)}), Header(b"f")],
        [pax({b"GNU.sparse.size": b"%d" % (1 << 62)}), Header(b"f")],
        sparse_1_0(b"f", [(0, b"x")], 1 << 40),
        [Header(b"%d" % n, data=b"x" * (1 << 20)) for n in range(3)],
    ],
    ids=["declared", "pax", "hole", "sparse", "sum"],
)
def test_bombs_stop_before_they_are_written(layer: Path, headers: Sequence[Header]) -> None:
    with pytest.raises(InvalidSpec, match="limit"):
        apply([archive(headers)], str(layer), limits=Limits(size_bytes=2 << 20))
    assert sum(path.stat().st_size for path in layer.rglob("*")) <= 2 << 20


def test_extended_headers_without_end(layer: Path) -> None:
    with pytest.raises(InvalidSpec, match="limit"):
        unpack(layer, *([pax({b"comment": b"c" * 60_000})] * 40), Header(b"f"))
    with pytest.raises(InvalidSpec, match="limit"):
        unpack_again(layer, *([pax({b"comment": b"c" * 60_000}, type=b"g")] * 2), Header(b"f"))
    with pytest.raises(InvalidSpec, match="limit"):
        apply([archive([pax({b"mtime": b"1"}, type=b"g")] * 1001)], str(layer), limits=Limits(headers=1000))


@pytest.mark.needs("root")
def test_the_rights_of_an_ordinary_user(tmp_path: Path) -> None:
    program = """
import os, stat, sys
from pyrt.layer import apply, settle
from tests.oracles.archives import Header, archive, pax
top = sys.argv[1]
headers = [
    Header(b"root", mode=0o4755), Header(b"other", mode=0o6755, uid=1, gid=1),
    Header(b"null", type=b"3", device=(1, 3)),
    pax({b"SCHILY.xattr.security.capability": b"\\1\\0\\0\\2" + bytes(16), b"SCHILY.xattr.trusted.a": b"a"}),
    Header(b"file", mode=0o400, uid=9), Header(b"closed", type=b"5", mode=0), Header(b"closed/in/f", mode=0),
    Header(b"closed/.wh..wh..opq"), Header(b".wh.gone"),
]
done = apply([archive(headers)], top + "/layer")
settle(top + "/layer", done.pending, [])
modes = {name: stat.S_IMODE(os.lstat(f"{top}/layer/{name}").st_mode) for name in ("root", "other", "file", "closed")}
assert modes == {"root": 0o4755, "other": 0o755, "file": 0o400, "closed": 0}, modes
assert {os.lstat(f"{top}/layer/{name}").st_uid for name in os.listdir(top + "/layer")} == {os.geteuid()}
assert (done.skipped.devices, done.skipped.xattrs, done.skipped.set_ids) == (1, 2, 1), done.skipped
os.chmod(top + "/layer/closed", 0o700)
assert os.listdir(top + "/layer/closed") == ["in"]
assert os.getxattr(top + "/layer/closed", "user.overlay.opaque") == b"y"
assert stat.S_ISCHR(os.lstat(top + "/layer/gone").st_mode)
print("ok")
"""
    (tmp_path / "upper").mkdir()
    os.chown(tmp_path / "upper", 61234, 61234)
    assert python_as_user(program, tmp_path / "upper") == "ok\n"
