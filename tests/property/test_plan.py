"""What PlanWriter writes, an independent reader of csrc/prt_plan.h reads."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.errors import InvalidArgument
from pyrt.runtime import plan_writer
from pyrt.runtime.control import ERROR_BYTES, JOINED, REPORT
from pyrt.runtime.plan_writer import HEADER, OP, SLOTS, Kind, OpFlag, PlanWriter
from tests.oracles.plan import HEADER as PLAN_H
from tests.oracles.plan import decode, enum_of, struct_size

ESCAPED = st.binary(max_size=20).map(lambda raw: raw.replace(b"\0", b"").decode("utf-8", "surrogateescape"))
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20) | ESCAPED
NUMBERS = st.integers(0, 2**64 - 1)
LISTS = st.tuples(*[st.lists(TEXTS, max_size=4)] * 3)
DATA = st.none() | st.binary(max_size=40) | LISTS
OPS = st.tuples(
    st.sampled_from(Kind),
    st.integers(0, 1023).map(OpFlag),
    st.fixed_dictionaries({"path": st.none() | TEXTS, "source": st.none() | TEXTS, "type": st.none() | TEXTS}),
    DATA,
    st.tuples(NUMBERS, NUMBERS, NUMBERS),
)


def encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogateescape")


def add(writer: PlanWriter, op: Any) -> None:
    kind, flags, texts, data, (a, b, c) = op
    place = writer.offsets(data) if isinstance(data, tuple) else data
    writer.add(kind, flags, **texts, data=place, a=a, b=b, c=c)


@given(st.lists(st.lists(OPS, max_size=6), max_size=3))
def test_what_is_written_is_read_back(fragments: list[list[Any]]) -> None:
    writer = PlanWriter()
    plan = b""
    for fragment in fragments:
        for op in fragment:
            add(writer, op)
        plan += writer.finish()
        assert len(plan) % 8 == 0

    read = decode(plan)

    written = [op for fragment in fragments for op in fragment]
    assert len(read) == len(written)
    for got, (kind, flags, texts, data, numbers) in zip(read, written, strict=True):
        assert (got.kind, got.flags, (got.a, got.b, got.c)) == (kind, flags, numbers)
        assert (got.path, got.source, got.type) == tuple(encoded(texts[name]) for name in ("path", "source", "type"))
        if data is None:
            assert got.data == 0
        elif isinstance(data, bytes):
            assert got.raw(len(data)) == data
            assert got.data % 8 == 0
        else:
            assert got.lists(3) == [list(map(encoded, texts)) for texts in data]


@given(st.lists(OPS, max_size=4), st.lists(OPS, max_size=4))
def test_a_fragment_does_not_depend_on_what_was_before(first: list[Any], second: list[Any]) -> None:
    one, other = PlanWriter(), PlanWriter()
    for op in first:
        add(one, op)
    one.finish()
    for op in second:
        add(one, op)
        add(other, op)

    assert one.finish() == other.finish()


def test_the_kinds_are_those_of_the_header() -> None:
    kinds = enum_of("prt_op_kind")

    assert kinds.pop("OP_KINDS") == len(Kind) + 1
    assert kinds == {kind.name: kind.value for kind in Kind}


def test_the_flags_are_those_of_the_header() -> None:
    assert enum_of("prt_op_flag") == {flag.name: flag.value for flag in OpFlag}


def test_the_sizes_are_those_of_the_header() -> None:
    assert (struct_size("prt_plan"), struct_size("prt_op")) == (HEADER.size, OP.size)
    assert struct_size("prt_report") == REPORT.size
    assert struct_size("prt_joined") == JOINED.size
    assert len({ERROR_BYTES, REPORT.size, JOINED.size, 1}) == 4
    assert f"#define PRT_PLAN_MAGIC {plan_writer.MAGIC:#x}u" in PLAN_H.read_text()
    assert f"#define PRT_SLOTS {SLOTS} " in PLAN_H.read_text()


def test_a_slot_too_many_is_refused() -> None:
    writer = PlanWriter()

    assert [writer.slot() for _ in range(SLOTS)] == list(range(SLOTS))
    with pytest.raises(InvalidArgument):
        writer.slot()
