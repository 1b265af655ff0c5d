"""Laws of capability sets: names and numbers are two forms of one thing, and Docker's rules hold for all lists."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyrt.runtime.capabilities import DEFAULT, NUMBERS, mask, names, select

ALL = frozenset(NUMBERS)
SETS = st.frozensets(st.sampled_from(sorted(NUMBERS)))
WRITTEN = st.sampled_from(sorted(NUMBERS)).flatmap(
    lambda name: st.sampled_from([name, name.lower(), name.removeprefix("CAP_"), name.removeprefix("CAP_").title()])
)


def normal(name: str) -> str:
    return f"CAP_{name.upper().removeprefix('CAP_')}"


@given(SETS, SETS)
def test_a_mask_is_a_set(one: frozenset[str], other: frozenset[str]) -> None:
    assert names(mask(one)) == one
    assert mask(one | other) == mask(one) | mask(other)
    assert mask(one & other) == mask(one) & mask(other)
    assert mask(one).bit_count() == len(one)


@given(st.integers(0, 2**64 - 1))
def test_bits_without_a_name_are_left_out(bits: int) -> None:
    assert mask(names(bits)) == bits & ((1 << len(NUMBERS)) - 1)


@given(st.lists(WRITTEN), st.lists(WRITTEN), st.booleans(), st.booleans())
def test_what_is_added_is_there_and_what_is_dropped_is_not(
    add: list[str], drop: list[str], add_all: bool, drop_all: bool
) -> None:
    added, dropped = {normal(name) for name in add}, {normal(name) for name in drop}

    chosen = select([*add, *["all"] * add_all], [*drop, *["ALL"] * drop_all], available=ALL)

    if add_all:
        assert chosen == ALL - dropped
    elif drop_all:
        assert chosen == added
    else:
        assert chosen == (DEFAULT - dropped) | added
    assert select(add, drop, privileged=True, available=ALL) == ALL
