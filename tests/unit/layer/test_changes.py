"""What `docker diff` says of small changes, written down by hand."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from pyrt.layer.changes import changes, compare
from pyrt.layer.copyup import copy_up, make_directory, remove

LOWER_FILES = ["etc/hosts", "etc/conf.d/a", "etc/conf.d/b", "usr/bin/tool", "var/log/old"]


class Container:
    """A lower with a few files, an upper, and the verbs of a shell in a container."""

    def __init__(self, top: Path) -> None:
        self.lower, self.upper = top / "lower", top / "upper"
        self.upper.mkdir()
        for name in LOWER_FILES:
            (self.lower / name).parent.mkdir(parents=True, exist_ok=True)
            (self.lower / name).write_text("old")

    def open(self, path: str) -> Path:
        copy_up([str(self.lower)], str(self.upper), path, userxattr=True)
        return self.upper / path

    def append(self, path: str) -> None:
        with self.open(path).open("a") as file:
            file.write("more")

    def chmod(self, path: str) -> None:
        self.open(path).chmod(0o711)

    def add(self, path: str) -> None:
        self.mkdir(os.path.dirname(path))
        (self.upper / path).write_text("new")

    def mkdir(self, path: str) -> None:
        if not (self.lower / path).exists():
            make_directory([str(self.lower)], str(self.upper), path, userxattr=True)
        elif path:
            self.open(path)

    def again(self, path: str) -> None:
        self.remove(path)
        make_directory([str(self.lower)], str(self.upper), path, userxattr=True)

    def remove(self, path: str) -> None:
        remove([str(self.lower)], str(self.upper), path, userxattr=True)

    def odd(self, path: str) -> None:
        (self.upper / os.fsdecode(b"\xff\n")).touch()

    def changes(self) -> list[str]:
        return [str(change) for change in changes(str(self.upper), [str(self.lower)], userxattr=True)]


@pytest.mark.parametrize(
    ("verb", "path", "expected"),
    [
        (Container.open, "etc/hosts", []),  # opened for writing, and nothing written
        (Container.append, "etc/hosts", ["C /etc", "C /etc/hosts"]),
        (Container.append, "etc/conf.d/a", ["C /etc", "C /etc/conf.d", "C /etc/conf.d/a"]),
        (Container.chmod, "etc/hosts", ["C /etc", "C /etc/hosts"]),
        (Container.chmod, "etc/conf.d", ["C /etc", "C /etc/conf.d"]),
        (Container.add, "new", ["A /new"]),
        (Container.add, "etc/new/x", ["C /etc", "A /etc/new", "A /etc/new/x"]),
        (Container.mkdir, "srv/a", ["A /srv", "A /srv/a"]),
        (Container.remove, "etc/hosts", ["C /etc", "D /etc/hosts"]),
        (Container.remove, "etc", ["D /etc"]),
        (Container.again, "etc/conf.d", ["C /etc", "C /etc/conf.d", "D /etc/conf.d/a", "D /etc/conf.d/b"]),
        (Container.again, "etc/hosts", ["C /etc", "C /etc/hosts"]),
        (Container.odd, "", ["A /\udcff\n"]),
    ],
)
def test_changes(tmp_path: Path, verb: Callable[[Container, str], object], path: str, expected: list[str]) -> None:
    container = Container(tmp_path)

    verb(container, path)

    assert container.changes() == expected


def test_a_file_over_a_directory_is_one_change(tmp_path: Path) -> None:
    container = Container(tmp_path)
    container.remove("etc/conf.d")
    (container.upper / "etc/conf.d").unlink()
    (container.upper / "etc/conf.d").touch()

    assert container.changes() == ["C /etc", "C /etc/conf.d"]


def test_a_whiteout_of_nothing_is_no_change(tmp_path: Path) -> None:
    container = Container(tmp_path)
    os.mknod(container.upper / "never", stat.S_IFCHR, 0)

    assert container.changes() == []


def test_times_that_an_archive_has_cut_are_equal(tmp_path: Path) -> None:
    for name, time_ns in (("a", 10**18 + 5), ("b", 10**18), ("c", 10**18 + 6)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
        os.utime(tmp_path / name / "file", ns=(time_ns, time_ns))
    a, b, c = (str(tmp_path / name) for name in "abc")

    assert compare(a, b) == compare(b, c) == ()
    assert [str(change) for change in compare(a, c)] == ["C /file"]


def test_the_same_size_and_time_is_no_change_but_another_link_target_is(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
        (tmp_path / name / "link").symlink_to(name)
        for entry in ("file", "link"):
            os.utime(tmp_path / name / entry, ns=(10**18, 10**18), follow_symlinks=False)

    assert [str(change) for change in compare(str(tmp_path / "a"), str(tmp_path / "b"))] == ["C /link"]


def test_a_deep_tree_needs_few_descriptors(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        fd = os.open(tmp_path / name, os.O_RDONLY)
        for depth in range(1200):
            os.mkdir("d", dir_fd=fd)
            inner = os.open("d", os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = inner
            if name == "b" and depth % 400 == 0:
                os.mkdir("z", dir_fd=fd)
        os.close(fd)

    found = compare(str(tmp_path / "a"), str(tmp_path / "b"))

    assert [len(change.path) for change in found if change.kind == "A"] == [4 + 2 * 800, 4 + 2 * 400, 4]
    for name in ("a", "b"):  # deeper than rmtree goes
        remove([], str(tmp_path / name), "d")
