"""The keys that leave a terminal: none is lost, none comes twice, wherever what is typed is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.cli.detach_keys import DEFAULT_KEYS, DetachKeys, parse_keys
from pyrt.errors import InvalidOption


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (DEFAULT_KEYS, b"\x10\x11"),
        ("ctrl-a,a,Z,1", b"\x01aZ1"),
        ("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_,DEL", b"\x00\x1b\x1c\x1d\x1e\x1f\x7f"),
        ("", b""),
    ],
)
def test_notation(text: str, keys: bytes) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-1", "ctrl-ab", "CTRL-a", "ab", "a,,b", ",", "é"])
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(InvalidOption, match="--detach-keys"):
        parse_keys(text)


def oracle(keys: bytes, typed: bytes) -> tuple[bytes, bool]:
    """Give what is for the program of all that is typed, and whether it was left."""
    before, found, _ = typed.partition(keys) if keys else (typed, b"", b"")
    return before, bool(found)


few = st.lists(st.sampled_from(b"ab\x10"), max_size=5).map(bytes)


@given(few, st.lists(few, max_size=8))
def test_every_cut_gives_the_same(keys: bytes, pieces: list[bytes]) -> None:
    machine = DetachKeys(keys)
    passed = b"".join([*map(machine.feed, pieces), machine.finish()])

    assert (passed, machine.is_found) == oracle(keys, b"".join(pieces))


def test_what_may_be_the_beginning_waits() -> None:
    machine = DetachKeys(b"aab")

    assert [machine.feed(each) for each in (b"a", b"a", b"a", b"x", b"aab", b"more")] == [
        b"",
        b"",
        b"a",
        b"aax",
        b"",
        b"",
    ]
    assert machine.is_found
    assert machine.finish() == b""
