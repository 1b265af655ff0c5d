"""Laws of the places of files: on which mount, below which directories, above which lower one."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from pyrt.runtime.bundle import File
from pyrt.runtime.rootfs import group_files, missing_parents
from pyrt.runtime.stack import Stack, short_name
from pyrt.snapshot import ephemeral

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


@given(st.lists(st.text("ab/:\\,é=", min_size=1).map("/".__add__), min_size=1, max_size=4), st.booleans())
def test_an_overlay_reads_the_directories_that_were_written(lowers: list[str], user_namespace: bool) -> None:
    stack = Stack.read(ephemeral(lowers, user_namespace=user_namespace))

    assert stack.lowers == tuple(lowers)
    assert (stack.upper, stack.work, stack.is_private) == (None, None, True)
    assert stack.data == ((("userxattr", ""),) if user_namespace else ())


@given(st.integers(0, 40000))
def test_short_names_are_short_and_differ(number: int) -> None:
    assert int(short_name(number), 36) == number
    assert len(short_name(number)) <= (1 if number < 36 else 2 if number < 1296 else 3 if number < 46656 else 4)
