"""A chain of lowers without a mount is what the kernel's overlay shows of it: read in place, and copied."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from pyrt._native.path import open_in_root
from pyrt.errors import SyscallError
from pyrt.snapshot import Merged, copy_tree
from tests.layers import IS_ROOT, PATHS, TREES, Node, plant
from tests.oracles.overlay import Overlay, tree

LOWERS = ["top", "middle", "base"]
NO_SYMLINKS = 4  # openat2(2)
pytestmark = pytest.mark.needs("overlay")


def without_owners(seen: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Leave out what a user namespace shows otherwise: owners, and attributes that are not a user's."""
    return seen if IS_ROOT else {path: [*entry[:1], *entry[3:-1]] for path, entry in seen.items()}


def name(path: str) -> str:
    return os.fsdecode(path.encode("latin-1"))


def test_a_copy_is_what_an_overlay_shows() -> None:
    @given(TREES, TREES, TREES)
    def compare(top: dict[str, Node], middle: dict[str, Node], base: dict[str, Node]) -> None:
        with tempfile.TemporaryDirectory(prefix="pyrt-merged-") as directory:
            for lower, nodes in zip(LOWERS, (top, middle, base), strict=True):
                plant(f"{directory}/{lower}", nodes, userxattr=not IS_ROOT)
            os.mkdir(f"{directory}/upper")
            lowers = [f"{directory}/{lower}" for lower in LOWERS]

            copy_tree(lowers, f"{directory}/copy")
            _, seen = overlay.ask(directory, LOWERS, "upper", [])
            del seen[""]

            assert without_owners(tree(os.fsencode(f"{directory}/copy"), upper=True)) == without_owners(seen)

    with Overlay(userxattr=not IS_ROOT) as overlay:
        compare()


def status_of(fd: int) -> tuple[int, int, int]:
    status = os.fstat(fd)
    os.close(fd)
    return status.st_mode, status.st_uid, status.st_rdev


def looked_up(lookup: Callable[[str], int], path: str) -> tuple[int, ...]:
    """What a path leads to, or the errno; to go on from a file is as good as to find nothing."""
    try:
        return status_of(lookup(path))
    except SyscallError as e:
        return (errno.ENOENT if e.errno == errno.ENOTDIR else e.errno or -1,)


@given(TREES, TREES, TREES, PATHS)
def test_a_path_leads_where_it_leads_in_a_copy(
    top: dict[str, Node], middle: dict[str, Node], base: dict[str, Node], path: str
) -> None:
    with tempfile.TemporaryDirectory(prefix="pyrt-merged-") as directory:
        for lower, nodes in zip(LOWERS, (top, middle, base), strict=True):
            plant(f"{directory}/{lower}", nodes, userxattr=not IS_ROOT)
        merged = Merged(tuple(f"{directory}/{lower}" for lower in LOWERS))
        copy_tree(merged.lowers, f"{directory}/copy")
        root = os.open(f"{directory}/copy", os.O_PATH)

        try:
            for place in map(name, {path, f"/{path}", *top, *middle, *base}):
                there = looked_up(lambda place: open_in_root(root, place, os.O_PATH), place)
                assert looked_up(merged.open, place) == there, place
                itself = looked_up(
                    lambda place: open_in_root(root, place, os.O_PATH | os.O_NOFOLLOW, resolve=NO_SYMLINKS), place
                )
                if itself[0] != errno.ELOOP and not {"..", "."} & set(place.split("/")):
                    status = merged.lstat(place)
                    assert (status and status.st_mode) == (itself[0] if len(itself) > 1 else None), place
        finally:
            os.close(root)


def outline(top: str) -> dict[str, tuple[int, int]]:
    """What is below a directory, by its place: mode and device."""
    found = {}
    for place, directories, files in os.walk(top):
        for entry in (*directories, *files):
            status = os.lstat(f"{place}/{entry}")
            found[os.path.relpath(f"{place}/{entry}", top)] = status.st_mode, status.st_rdev
    return found


@given(TREES, TREES, TREES)
def test_a_directory_is_a_chain_of_its_own(
    top: dict[str, Node], middle: dict[str, Node], base: dict[str, Node]
) -> None:
    with tempfile.TemporaryDirectory(prefix="pyrt-merged-") as directory:
        for lower, nodes in zip(LOWERS, (top, middle, base), strict=True):
            plant(f"{directory}/{lower}", nodes, userxattr=not IS_ROOT)
        merged = Merged(tuple(f"{directory}/{lower}" for lower in LOWERS))
        copy_tree(merged.lowers, f"{directory}/copy")

        for number, (place, _, _) in enumerate(os.walk(f"{directory}/copy")):
            path = place.removeprefix(f"{directory}/copy") or "/"
            copy_tree(merged.directories(path), f"{directory}/{number}")

            assert outline(f"{directory}/{number}") == outline(place)
            assert os.stat(f"{directory}/{number}").st_mode == os.stat(place).st_mode
