"""The changes of an upper, and those between two trees, are those that the oracle finds by looking at everything."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.layer.changes import Change, changes, compare
from tests.layers import IS_ROOT, TREES, Node, plant
from tests.oracles.overlay import Overlay
from tests.oracles.treediff import difference, merged

LAYERS = st.lists(TREES, min_size=1, max_size=3)


@contextmanager
def planted(layers: list[dict[str, Node]]) -> Iterator[list[str]]:
    """Make the layers as directories, in a place that goes."""
    top = tempfile.mkdtemp()
    os.chmod(top, 0o755)
    try:
        places = [f"{top}/{number}" for number in range(len(layers))]
        for place, nodes in zip(places, layers, strict=True):
            plant(place, nodes, userxattr=not IS_ROOT)
        yield places
    finally:
        shutil.rmtree(top)


def shown(found: tuple[Change, ...]) -> list[tuple[str, bytes]]:
    return [(change.kind, os.fsencode(change.path)) for change in found]


def seen(places: list[str]) -> dict[bytes, bytes]:
    return merged([os.fsencode(place) for place in places], userxattr=not IS_ROOT)


@given(LAYERS, TREES)
def test_the_changes_of_an_upper(lowers: list[dict[str, Node]], upper: dict[str, Node]) -> None:
    with planted([upper | lowers[0] if len(lowers) == 3 else upper, *lowers]) as places:
        found = changes(places[0], places[1:], userxattr=not IS_ROOT)

        assert shown(found) == difference(seen(places[1:]), seen(places))


@given(TREES, TREES)
def test_the_difference_of_two_trees(before: dict[str, Node], more: dict[str, Node]) -> None:
    with planted([before, before | more]) as (old, new):
        found = compare(old, new)

        assert shown(found) == difference(seen([old]), seen([new]))
        assert compare(old, old) == ()


@pytest.mark.needs("overlay")
@given(LAYERS)
def test_the_oracle_sees_what_the_kernel_shows(layers: list[dict[str, Node]]) -> None:
    with planted([{}, *layers]) as places, Overlay(userxattr=not IS_ROOT) as kernel:
        top, names = os.path.dirname(places[0]), [Path(place).name for place in places]

        _, view = kernel.ask(top, names[1:], names[0], [])

        assert {path.encode("latin-1") for path in view if path} == {path[1:] for path in seen(places)}
