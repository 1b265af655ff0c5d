"""What a layer has from those below it: files that it links to, attributes of directories, and nothing at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pyrt.errors import InvalidSpec
from pyrt.layer import Applied, Pending, apply, settle
from tests.oracles.archives import Header, archive

DIRECTORY, LINK = b"5", b"1"


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    return tmp_path / "layer"


def unpack(layer: Path, *headers: Header) -> Applied:
    return apply([archive(headers)], str(layer))


def test_an_opaque_root_hides_all(layer: Path, tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    (lower / "both").mkdir(parents=True)
    (lower / "gone").touch()
    done = unpack(layer, Header(b"both/f"), Header(b".wh..wh..opq"))

    settle(str(layer), done.pending, [str(lower)])

    assert done.pending.opaque_root
    assert (layer / "gone").lstat().st_rdev == 0
    assert stat.S_ISCHR((layer / "gone").lstat().st_mode)
    assert os.getxattr(layer / "both", "user.overlay.opaque") == b"y"


def test_links_to_links_of_lower_layers(layer: Path, tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    lower.mkdir()
    (lower / "file").write_text("lower")
    os.setxattr(lower / "file", "user.a", b"b")
    headers = [Header(b"d", type=DIRECTORY, mtime=77, mode=0o555)]
    headers += [Header(b"d/3", type=LINK, link=b"d/2"), Header(b"d/2", type=LINK, link=b"d/1")]
    headers += [Header(b"d/1", type=LINK, link=b"file"), Header(b"d/4", type=LINK, link=b"file")]

    settle(str(layer), unpack(layer, *headers).pending, [str(lower)])

    assert {(layer / f"d/{n}").stat().st_ino for n in range(1, 5)} == {(layer / "d/1").stat().st_ino}
    assert (layer / "d/3").read_text() == "lower"
    assert os.getxattr(layer / "d/3", "user.a") == b"b"
    assert ((layer / "d").stat().st_mtime, (layer / "d").stat().st_mode & 0o777) == (77, 0o555)
    assert sorted(os.listdir(layer)) == ["d"]
    (layer / "d").chmod(0o755)


def test_links_in_a_circle(layer: Path) -> None:
    done = unpack(layer, Header(b"a", type=LINK, link=b"b"), Header(b"b", type=LINK, link=b"a"))

    with pytest.raises(InvalidSpec, match="no layer has"):
        settle(str(layer), done.pending, [])


def test_implied_directories_are_as_below(layer: Path, tmp_path: Path) -> None:
    lowers = [tmp_path / "lower/1", tmp_path / "lower/2"]
    for lower, mode in zip(lowers, (0o750, 0o700), strict=True):
        (lower / "a/b").mkdir(parents=True)
        (lower / "a").chmod(mode)
        os.setxattr(lower / "a", "user.mode", b"%o" % mode)
        os.utime(lower / "a", ns=(5, 1_000_000_005))
    lowers[0].chmod(0o711)
    done = unpack(layer, Header(b"a/b/c/f"))

    settle(str(layer), done.pending, [str(lower) for lower in lowers])

    assert done.pending == Pending(implied=("a/b/c", "a/b", "a", ""))
    assert [(layer / path).stat().st_mode & 0o777 for path in ("a", "a/b/c", ".")] == [0o750, 0o755, 0o711]
    assert ((layer / "a").stat().st_mtime_ns, os.getxattr(layer / "a", "user.mode")) == (1_000_000_005, b"750")
