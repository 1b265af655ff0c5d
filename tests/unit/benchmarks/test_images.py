"""What the benchmark of images makes its images of."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from benchmarks.fixtures import Fixtures
from benchmarks.harness import Missing
from benchmarks.images import Registry, debian, layers, listing, small


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    made = Fixtures(tmp_path / "made")
    (made.rootfs / "bin").mkdir(parents=True)
    (made.rootfs / "bin/busybox").write_bytes(b"a program" * 1000)
    return small(made)


def test_listing_has_directories_before_what_is_in_them_and_no_packages(tmp_path: Path) -> None:
    (tmp_path / "var/cache/apt/archives").mkdir(parents=True)
    (tmp_path / "var/cache/apt/archives/a.deb").touch()
    (tmp_path / "bin").symlink_to("var")
    (tmp_path / "etc").touch()

    assert list(listing(tmp_path)) == ["bin", "etc", "var", "var/cache", "var/cache/apt", "var/cache/apt/archives"]


def test_layers_share_directories_and_no_file(tree: Path, tmp_path: Path) -> None:
    made = layers(tmp_path / "layers", tree, 8)

    files: list[str] = []
    for layer in made:
        with tarfile.open(layer.archive) as archive:
            members = archive.getmembers()
        seen = {""}
        for member in members:
            assert os.path.dirname(member.name) in seen
            seen.add(member.name)
        files += [member.name for member in members if not member.isdir()]
        assert layer.entries == len(members)
        assert 0.5 < sum(member.size for member in members) / (_size(tree) / 8) < 2
    assert files == [path for path in listing(tree) if (tree / path).is_symlink() or not (tree / path).is_dir()]


def test_the_same_tree_gives_the_same_layers(tree: Path, tmp_path: Path) -> None:
    first, second = layers(tmp_path / "a", tree, 2), layers(tmp_path / "b", tree, 2)

    assert [layer.digest for layer in first] == [layer.digest for layer in second]
    assert len({layer.digest for layer in first}) == 2


def test_the_tree_is_the_one_that_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYRT_BENCH_ROOT", str(tmp_path))
    assert debian() == tmp_path

    monkeypatch.setenv("PYRT_BENCH_ROOT", str(tmp_path / "nosuch"))
    with pytest.raises(Missing, match="nosuch is no directory"):
        debian()


def test_the_tree_is_kept_and_a_half_made_one_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    debootstrap = programs / "debootstrap"
    debootstrap.write_text('#!/bin/sh\nfor target; do :; done\nmkdir "$target" && echo no network && exit 1\n')
    debootstrap.chmod(0o755)
    (programs / "unshare").write_text('#!/bin/sh\nshift; exec "$@"\n')
    (programs / "unshare").chmod(0o755)
    monkeypatch.delenv("PYRT_BENCH_ROOT", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")

    with pytest.raises(Missing, match="unshare ended with 1: no network"):
        debian()
    assert os.listdir(tmp_path / "cache/pyrt-bench") == []

    debootstrap.write_text(debootstrap.read_text().replace("exit 1", "exit 0"))
    assert debian() == tmp_path / "cache/pyrt-bench/root"
    debootstrap.unlink()
    assert debian() == tmp_path / "cache/pyrt-bench/root"


def test_requests_are_counted_in_the_access_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text('time="x" level=error msg=HTTP\n127.0.0.1 - - [x] "HEAD /v2/a/manifests/latest HTTP/1.1" 200 2\n')

    assert Registry("127.0.0.1:1", log).requests() == 1


def _size(tree: Path) -> int:
    """Add up the files, each inode once, as an archive has them."""
    found = [(tree / path).lstat() for path in listing(tree)]
    return sum({status.st_ino: status.st_size for status in found}.values())
