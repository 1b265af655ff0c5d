"""Copies give what `docker cp` (28.2) gave for the same source and destination: cp.json, 624 of them.

A tree is told as {path: text of a file, "/" of a directory, "-> target" of a link}. An outcome is what had changed at
the destination, null where docker refused; then nothing had.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from pyrt.errors import PyrtError
from pyrt.files import copy_in, copy_out
from pyrt.layer import LocalRoot

GOLDEN = json.loads(Path(__file__).with_name("cp.json").read_text())
# Docker refuses them with: cannot overwrite non-directory "wayd" with directory "wayd".
OURS = {("dir/.", "wayd/"), ("way/.", "wayd/")}


def build(top: Path, tree: dict[str, str]) -> None:
    shutil.rmtree(top, ignore_errors=True)
    top.mkdir()
    for name, what in sorted(tree.items()):
        if what == "/":
            (top / name).mkdir()
        elif what.startswith("-> "):
            (top / name).symlink_to(what[3:])
        else:
            (top / name).write_text(what)


def listing(top: Path) -> dict[str, str]:
    found = {}
    for path in top.rglob("*"):
        what = "/" if path.is_dir() else "" if path.is_symlink() else path.read_text()
        found[str(path.relative_to(top))] = f"-> {os.readlink(path)}" if path.is_symlink() else what
    return found


def outcome(tmp_path: Path, way: str, follow: bool, source: str, target: str) -> dict[str, str] | None:
    """Copy, and give what has changed at the destination, None where it was refused."""
    inside, outside = tmp_path / "root", tmp_path / "host"
    place = (inside if way == "in" else outside) / "target"
    build(place, GOLDEN["target"])
    try:
        with closing(LocalRoot(os.open(inside, os.O_PATH))) as root:
            if way == "in":
                copy_in(root, f"{outside}/source/{source}", f"/target/{target}", follow_link=follow)
            else:
                copy_out(root, f"/source/{source}", f"{outside}/target/{target}", follow_link=follow)
    except PyrtError:
        assert listing(place) == GOLDEN["target"]
        return None
    return {name: what for name, what in listing(place).items() if GOLDEN["target"].get(name) != what}


@pytest.mark.parametrize(
    ("way", "follow", "source", "cases"),
    GOLDEN["cases"],
    ids=[f"{way}{'-L' * follow} {source}" for way, follow, source, _ in GOLDEN["cases"]],
)
def test_a_copy_gives_what_docker_gave(
    tmp_path: Path, way: str, follow: bool, source: str, cases: list[tuple[str, int | None]]
) -> None:
    for name in ("root", "host"):
        (tmp_path / name).mkdir()
    build(tmp_path / ("host" if way == "in" else "root") / "source", GOLDEN["source"])
    expected = {target: None if number is None else GOLDEN["outcomes"][number] for target, number in cases}
    given = {target: outcome(tmp_path, way, follow, source, target) for target, _ in cases}

    if way == "out":
        expected = {target: tree for target, tree in expected.items() if (source, target) not in OURS}
        given = {target: tree for target, tree in given.items() if (source, target) not in OURS}
    assert given == expected
