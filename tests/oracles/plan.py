"""Reads a plan as csrc/prt_plan.h describes it, and the header's own numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["HEADER", "Op", "decode", "enum_of", "struct_size"]

HEADER = Path(__file__).resolve().parents[2] / "csrc/prt_plan.h"
SIZES = {"uint32_t": 4, "uint64_t": 8}


@dataclass(frozen=True, slots=True)
class Op:
    """An operation, with its texts in the place of offsets; `data` stays one, into `plan`."""

    kind: int
    flags: int
    path: bytes | None
    source: bytes | None
    type: bytes | None
    data: int
    a: int
    b: int
    c: int
    plan: bytes

    def raw(self, size: int) -> bytes:
        """Give `size` bytes of the data."""
        return self.plan[self.data : self.data + size]

    def lists(self, count: int) -> list[list[bytes]]:
        """Give the data as lists of texts, each ended by 0."""
        at, lists = self.data, []
        for _ in range(count):
            texts = []
            while offset := number(self.plan, at, 4):
                texts.append(text(self.plan, offset) or b"")
                at += 4
            lists.append(texts)
            at += 4
        return lists


def decode(plan: bytes) -> list[Op]:
    """Give the operations of all fragments of a plan. Raises ValueError for what is none."""
    ops: list[Op] = []
    while plan:
        magic, size, count = (number(plan, at, 4) for at in (0, 4, 8))
        if plan[:4] != b"PRT1" or size > len(plan) or size < 16 + 48 * count or size % 8:
            raise ValueError(f"magic {magic:#x}, size {size}, {count} operations")
        fragment, plan = plan[:size], plan[size:]
        ops += [read(fragment, 16 + 48 * index) for index in range(count)]
    return ops


def read(plan: bytes, at: int) -> Op:
    """Read one struct prt_op."""
    kind, flags, path, source, type, data = (number(plan, at + 4 * index, 4) for index in range(6))
    a, b, c = (number(plan, at + 24 + 8 * index, 8) for index in range(3))
    return Op(kind, flags, text(plan, path), text(plan, source), text(plan, type), data, a, b, c, plan)


def number(plan: bytes, at: int, size: int) -> int:
    if at + size > len(plan):
        raise ValueError(f"{at} is outside of the plan")
    return int.from_bytes(plan[at : at + size], "little")


def text(plan: bytes, offset: int) -> bytes | None:
    """Give the text at an offset; None for 0."""
    return plan[offset : plan.index(b"\0", offset)] if offset else None


def enum_of(name: str) -> dict[str, int]:
    """Give the members of an enum of the header, without their PRT_."""
    found = re.search(rf"enum {name} {{(.*?)}};", without_comments(), re.DOTALL)
    if found is None:
        raise ValueError(f"{HEADER} has no enum {name}")
    members: dict[str, int] = {}
    for entry in filter(None, (entry.strip() for entry in found[1].split(","))):
        member, _, value = entry.partition("=")
        members[member.strip().removeprefix("PRT_")] = int(value) if value else max(members.values()) + 1
    return members


def struct_size(name: str) -> int:
    """Give the size of a struct of integers, which has no holes."""
    found = re.search(rf"struct {name} {{(.*?)}};", without_comments(), re.DOTALL)
    if found is None:
        raise ValueError(f"{HEADER} has no struct {name}")
    lines = (line.split(None, 1) for line in found[1].split(";") if line.strip())
    return sum(SIZES[type] * len(names.split(",")) for type, names in lines)


def without_comments() -> str:
    return re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
