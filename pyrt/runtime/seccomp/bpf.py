"""Assemble a classic BPF program back to front.

Every jump of classic BPF goes forward, so a program that grows from its last instruction to its first knows all its
targets: a label is the distance from the end. What has been assembled once is found again and shared, and a target
out of the reach of a conditional jump (255 instructions) gets a nearer copy or a hop.
Sources: linux/filter.h, linux/bpf_common.h, seccomp(2).
"""

from __future__ import annotations

import struct

from pyrt.errors import Unsupported

__all__ = ["JEQ", "JGE", "JGT", "MAX_INSTRUCTIONS", "Assembler"]

JEQ = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
JGT = 0x25
JGE = 0x35
MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP = 0x05  # BPF_JMP | BPF_JA
_RETURN = 0x06  # BPF_RET | BPF_K
_REACH = 255

_Instruction = tuple[int, int, int, int]  # code, jt, jf, k


class Assembler:
    """A program in the making. Labels are opaque integers, good for this assembler alone."""

    __slots__ = ("_known", "_reversed")

    def __init__(self) -> None:
        self._reversed: list[_Instruction] = []
        self._known: dict[tuple[int, ...], int] = {}

    def give(self, value: int) -> int:
        """Return the label of "end with `value`"."""
        return self._shared((_RETURN, value), (_RETURN, 0, 0, value))

    def branch(self, test: int, k: int, yes: int, no: int) -> int:
        """Return the label of "compare the accumulator with `k`, go to `yes` or `no`"; test is JEQ, JGT or JGE."""
        if yes == no:
            return yes
        key = (test, k, yes, no)
        if key not in self._known:
            yes = self._near(yes, room=1)  # a hop for `no` may still come in between
            no = self._near(no, room=0)
            here = len(self._reversed)
            self._known[key] = self._append((test, here - yes - 1, here - no - 1, k))
        return self._known[key]

    def load(self, offset: int, then: int) -> int:
        """Return the label of "load the word at `offset` of seccomp_data, go on at `then`"."""
        return self._straight(_LOAD, offset, then)

    def mask(self, k: int, then: int) -> int:
        """Return the label of "accumulator &= k, go on at `then`"."""
        return self._straight(_AND, k, then)

    def finish(self, entry: int) -> bytes:
        """Return the program that starts at `entry`, as an array of struct sock_filter in host byte order.

        Raises Unsupported when it is longer than the kernel takes.
        """
        self._go_to(entry)
        count = len(self._reversed)
        if count > MAX_INSTRUCTIONS:
            raise Unsupported(
                f"a seccomp filter of {count} instructions",
                f"the kernel takes {MAX_INSTRUCTIONS}; name fewer system calls or compare fewer arguments",
            )
        return b"".join(struct.pack("=HBBI", *each) for each in reversed(self._reversed))

    def _straight(self, code: int, k: int, then: int) -> int:
        key = (code, k, then)
        if key not in self._known:
            self._go_to(then)
            self._known[key] = self._append((code, 0, 0, k))
        return self._known[key]

    def _go_to(self, label: int) -> None:
        distance = len(self._reversed) - label - 1
        if distance:
            self._append((_JUMP, 0, 0, distance))

    def _near(self, label: int, room: int) -> int:
        if len(self._reversed) - label - 1 + room <= _REACH:
            return label
        code, _, _, k = self._reversed[label]
        if code == _RETURN:  # a copy is as long as a hop, and a step shorter to run
            return self._shared((_RETURN, k), (_RETURN, 0, 0, k), room)
        return self._shared((_JUMP, label), (_JUMP, 0, 0, len(self._reversed) - label - 1), room)

    def _shared(self, key: tuple[int, ...], instruction: _Instruction, room: int = 0) -> int:
        found = self._known.get(key)
        if found is None or len(self._reversed) - found - 1 + room > _REACH:
            found = self._known[key] = self._append(instruction)
        return found

    def _append(self, instruction: _Instruction) -> int:
        self._reversed.append(instruction)
        return len(self._reversed) - 1
