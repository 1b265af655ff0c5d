"""Laws of the places of files: on which mount, below which directories, above which lower one."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from pyrt.runtime.bundle import File
from pyrt.runtime.rootfs import group_files, missing_parents, top_lower

PARTS = st.lists(st.sampled_from(["a", "b", "ab", "c"]), min_size=1, max_size=5)
PATHS = PARTS.map(lambda parts: "/" + "/".join(parts))


@given(st.lists(PATHS, max_size=8), st.lists(PATHS, unique=True, max_size=4))
def test_a_file_is_on_the_innermost_mount(paths: list[str], points: list[str]) -> None:
    destinations = ["", *points]

    groups = group_files([File(path, "file") for path in paths], destinations)

    again = [(d + file.path, d) for d, group in zip(destinations, groups, strict=True) for file in group]
    assert sorted(path for path, _ in again) == sorted(paths)
    for path, destination in again:
        above = {os.path.join("/", *path[1:].split("/")[:n]) for n in range(1, path.count("/"))}
        innermost = max((point for point in points if point in above), key=len, default="")
        assert destination == innermost


@given(st.lists(PATHS, max_size=8), st.sets(PATHS))
def test_every_parent_is_made_once_and_before_its_children(paths: list[str], there: set[str]) -> None:
    known = {"/"} | there
    made: list[str] = []
    for path in paths:
        parents = missing_parents(path, known)
        assert all(parents[n + 1].startswith(parents[n] + "/") for n in range(len(parents) - 1))
        made += parents
        assert os.path.dirname(path) in known

    assert len(made) == len(set(made))
    assert not set(made) & there
    assert known == {"/"} | there | set(made)


@given(st.lists(st.text("ab/:\\,é", min_size=1), min_size=1, max_size=4))
def test_the_top_is_what_was_escaped_first(lowers: list[str]) -> None:
    escaped = [lower.replace("\\", "\\\\").replace(":", "\\:") for lower in lowers]

    assert top_lower(":".join(escaped)) == lowers[0]
