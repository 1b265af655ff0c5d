"""Laws of records: what was put is what comes back, and items are those of a dictionary."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.errors import IntegrityError, Unsupported
from pyrt.state import Database, Records

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.binary()
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
DOCUMENTS = st.recursive(
    SCALARS | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS | st.integers(-5, 5), inner), max_leaves=20
)
KEYS = st.text(st.sampled_from("ab:é\U0001f40b\0%_"), max_size=4)


@contextmanager
def opened() -> Iterator[Database]:
    with tempfile.TemporaryDirectory() as top, Database(f"{top}/state.db") as database:
        yield database


def plain(database: Database, kind: str = "thing", version: int = 1) -> Records[Any]:
    return Records(database, kind, version, lambda value: value, lambda document: document)


@given(st.lists(st.tuples(KEYS, DOCUMENTS), max_size=5))
def test_what_was_put_comes_back(pairs: list[tuple[str, Any]]) -> None:
    with opened() as database:
        things = plain(database)

        with database.write() as tx:
            for key, value in pairs:
                things.put(tx, key, value)

        with database.read() as tx:
            for key, value in dict(pairs).items():
                assert things.get(tx, key) == value


@given(st.lists(st.tuples(st.sampled_from(["put", "delete"]), KEYS, st.integers(0, 9)), max_size=20), KEYS)
def test_records_are_a_sorted_dictionary_for_each_kind(steps: list[tuple[str, str, int]], prefix: str) -> None:
    twin: dict[str, int] = {}
    with opened() as database:
        things, others = plain(database), plain(database, "thin")
        with database.write() as tx:
            for verb, key, value in steps:
                if verb == "put":
                    things.put(tx, key, value)
                    twin[key] = value
                else:
                    things.delete(tx, key)
                    twin.pop(key, None)
                assert things.has(tx, key) == (key in twin)
                assert not others.has(tx, key)
                if key not in twin:
                    with pytest.raises(KeyError):
                        things.get(tx, key)
            found = list(things.items(tx, prefix))

    keys = sorted((key for key in twin if key.startswith(prefix)), key=str.encode)
    assert found == [(key, twin[key]) for key in keys]


@given(st.integers(1, 5), st.integers(1, 5))
def test_older_versions_are_upgraded_step_by_step_and_newer_ones_refused(written: int, read: int) -> None:
    upgrades = {number: lambda document, number=number: [*document, number] for number in range(1, 5)}
    with opened() as database:
        reader: Records[Any] = Records(database, "thing", read, lambda v: v, lambda d: d, upgrades=upgrades)
        with database.write() as tx:
            plain(database, version=written).put(tx, "a", [])
            if written > read:
                with pytest.raises(Unsupported, match="upgrade"):
                    reader.get(tx, "a")
            else:
                assert reader.get(tx, "a") == list(range(written, read))


@given(st.binary(max_size=20))
def test_a_damaged_record_is_named(packed: bytes) -> None:
    with opened() as database:
        number: Records[int] = Records(database, "number", 1, int, lambda document: {"the number": 1}[document])
        with database.write() as tx:
            tx.execute("INSERT INTO records VALUES ('number', 'seven', 1, ?)", packed)
            with pytest.raises(IntegrityError, match="number seven"):
                number.get(tx, "seven")
