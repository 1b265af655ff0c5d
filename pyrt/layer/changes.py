"""What has changed in a tree, as `docker diff` says it.

Takes directories (paths or descriptors), gives Changes: A added, C changed, D deleted. Compared are type, mode, owner,
device number, size, time, link target and capabilities, of directories neither size nor time; data are never read. A
directory in which something changed has changed (C), all that is in an added directory is added, and what was in a
deleted one is not mentioned. A directory stands before what is in it, names are sorted by their bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Literal, cast

from pyrt._native.treediff import TreeDiff
from pyrt.layer.copyup import Directory, descriptor

__all__ = ["Change", "Kind", "changes", "compare"]

Kind = Literal["A", "C", "D"]

_STEP = 10_000  # entries, some 20 ms, until Ctrl-C is heard


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs; `path` is absolute in the tree, odd bytes in it are surrogates (os.fsdecode)."""

    kind: Kind
    path: str

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"


def changes(upper: Directory, lowers: Sequence[Directory], *, userxattr: bool = False) -> tuple[Change, ...]:
    """Give what the `upper` of an overlay changes in its lowers, topmost first; only the upper is read.

    What was copied up and is as it was before is no change. `userxattr` says that the overlay's attributes are user.*.
    Raises SyscallError.
    """
    return _difference(lowers, [upper], is_upper=True, userxattr=userxattr)


def compare(before: Directory, after: Directory) -> tuple[Change, ...]:
    """Give the difference of two plain trees: what makes `after` of `before`. Raises SyscallError."""
    return _difference([before], [after])


def _difference(
    before: Sequence[Directory], after: Sequence[Directory], *, is_upper: bool = False, userxattr: bool = False
) -> tuple[Change, ...]:
    with ExitStack() as stack:
        old = [descriptor(directory, stack) for directory in before]
        new = [descriptor(directory, stack) for directory in after]
        diff = stack.enter_context(closing(TreeDiff(old, new, is_upper=is_upper, userxattr=userxattr)))
        return tuple(_parsed(diff))


def _parsed(diff: TreeDiff) -> Iterator[Change]:
    more = True
    while more:
        records, more = diff.step(_STEP)
        for record in records.split(b"\0")[:-1]:
            yield Change(cast(Kind, chr(record[0])), os.fsdecode(record[1:]))
