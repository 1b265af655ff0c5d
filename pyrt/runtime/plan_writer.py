"""The flat form of a plan: operations and the bytes they refer to (csrc/prt_plan.h).

Takes operations one by one, gives the fragments that pyrt-init maps. Equal strings are stored once in each.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum, IntFlag

from pyrt.errors import InvalidArgument

__all__ = ["Kind", "OpFlag", "PlanWriter"]

MAGIC = 0x31545250
SLOTS = 256
HEADER = struct.Struct("<4I")
OP = struct.Struct("<6I3Q")


class Kind(IntEnum):
    """What an operation does: enum prt_op_kind, which says what its fields mean."""

    PROPAGATION = 1
    NEW_MOUNT = 2
    OPEN_TREE = 3
    ATTACH = 4
    DIR = 5
    FILE = 6
    SYMLINK = 7
    NODE = 8
    ROOT_ATTRIBUTES = 9
    MASK = 10
    READONLY = 11
    SYSCTL = 12
    MKDIRS = 13
    PIVOT = 14
    SETSID = 15
    TTY = 16
    HOSTNAME = 17
    DOMAINNAME = 18
    LOOPBACK = 19
    OOM_SCORE = 20
    RLIMIT = 21
    UMASK = 22
    BOUNDING = 23
    USER = 24
    CWD = 25
    NO_NEW_PRIVS = 26
    LANDLOCK_NEW = 27
    LANDLOCK_PATH = 28
    LANDLOCK_ENFORCE = 29
    PROGRAM = 30
    GO = 31
    SECCOMP = 32
    CAPABILITIES = 33
    STAY = 34
    EXEC = 35
    TAKE = 36
    OVERLAY = 37
    JOIN = 38


class OpFlag(IntFlag):
    """How an operation is to be done: enum prt_op_flag."""

    NONE = 0
    MAKE_DIR = 1
    MAKE_FILE = 2
    PLAIN = 4
    ON_HOST = 8
    AS_ROOT = 16
    KEEP = 32
    RECURSIVE = 64
    RECURSIVE_PROPAGATION = 128
    AS_CONSOLE = 256
    DETACH = 512


class PlanWriter:
    """Collects operations and packs them as fragments, which do not depend on each other's place.

    A plan is one fragment after the other. The numbers of slots run on from fragment to fragment.
    """

    def __init__(self) -> None:
        self._slot = 0
        self._clear()

    def _clear(self) -> None:
        self._ops: list[tuple[int, ...]] = []
        self._blob = bytearray(8)
        self._known: dict[str, int] = {}
        self._lists: list[tuple[int, int]] = []

    def slot(self) -> int:
        """Give the number of a mount that is made now and attached later."""
        if self._slot == SLOTS:
            raise InvalidArgument(f"a container cannot have more than {SLOTS} mounts", argument="mounts")
        self._slot += 1
        return self._slot - 1

    def add(
        self,
        kind: Kind,
        flags: OpFlag = OpFlag.NONE,
        *,
        path: str | None = None,
        source: str | None = None,
        type: str | None = None,
        data: bytes | int | None = None,
        a: int = 0,
        b: int = 0,
        c: int = 0,
    ) -> None:
        """Append an operation; `data` is bytes, or the offset that `offsets` gave."""
        text = self._text
        at = self._place(data) if isinstance(data, bytes) else data or 0
        self._ops.append((kind, flags, text(path), text(source), text(type), at, a, b, c))

    def offsets(self, lists: Iterable[Sequence[str]]) -> int:
        """Store lists of strings as offsets, each list ended by 0; give the place of the first."""
        numbers: list[int] = []
        for strings in lists:
            numbers.extend(self._text(string) for string in strings)
            numbers.append(0)
        at = self._place(struct.pack(f"<{len(numbers)}I", *numbers))
        self._lists.append((at, len(numbers)))
        return at

    def finish(self) -> bytes:
        """Give a fragment of all operations since the last one."""
        start = HEADER.size + OP.size * len(self._ops)
        for at, count in self._lists:
            numbers = struct.unpack_from(f"<{count}I", self._blob, at)
            struct.pack_into(f"<{count}I", self._blob, at, *(n and n + start for n in numbers))
        pack = OP.pack
        ops = [
            pack(k, f, p and p + start, s and s + start, t and t + start, d and d + start, a, b, c)
            for k, f, p, s, t, d, a, b, c in self._ops
        ]
        self._blob += bytes(-len(self._blob) % 8)
        fragment = b"".join((HEADER.pack(MAGIC, start + len(self._blob), len(ops), 0), *ops, self._blob))
        self._clear()
        return fragment

    def _text(self, text: str | None) -> int:
        if text is None:
            return 0
        at = self._known.get(text)
        if at is None:
            at = self._known[text] = len(self._blob)
            self._blob += text.encode("utf-8", "surrogateescape") + b"\0"
        return at

    def _place(self, data: bytes) -> int:
        """Store at a multiple of 8, for C reads numbers there."""
        self._blob += bytes(-len(self._blob) % 8)
        at = len(self._blob)
        self._blob += data + b"\0"
        return at
