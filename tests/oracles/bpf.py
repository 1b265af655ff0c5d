"""A classic BPF interpreter: one instruction after the other, as bpf(4) describes them."""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Verdict", "execute"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a filter returned, and how many instructions that took."""

    value: int
    steps: int


def execute(code: bytes, audit: int, number: int, args: Sequence[int] = ()) -> Verdict:
    """Run a seccomp filter on one system call. Raises ValueError for what the kernel's verifier would refuse."""
    instructions = _decode(code)
    six = [*args, 0, 0, 0, 0, 0, 0][:6]
    call = struct.pack("=IIQ6Q", number, audit, 0, *six)
    accumulator = counter = steps = 0
    while counter < len(instructions):
        operation, yes, no, k = instructions[counter]
        counter += 1
        steps += 1
        match operation:
            case 0x20:
                if k % 4 or k > 60:
                    raise ValueError(f"load from {k}")
                (accumulator,) = struct.unpack_from("=I", call, k)
            case 0x54:
                accumulator &= k
            case 0x05:
                counter += k
            case 0x15:
                counter += yes if accumulator == k else no
            case 0x25:
                counter += yes if accumulator > k else no
            case 0x35:
                counter += yes if accumulator >= k else no
            case 0x45:
                counter += yes if accumulator & k else no
            case 0x06:
                return Verdict(k, steps)
            case _:
                raise ValueError(f"instruction {operation:#x}")
    raise ValueError("the program runs past its end")


@functools.lru_cache(maxsize=8)
def _decode(code: bytes) -> list[tuple[int, int, int, int]]:
    instructions = list(struct.iter_unpack("=HBBI", code))
    if not 0 < len(instructions) <= 4096:
        raise ValueError(f"{len(instructions)} instructions")
    return instructions
