"""csrc/prt_cgroup.h on ordinary directories, which do for what orders are about."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tests.native.library import Csrc, Failure


def order(csrc: Csrc, *words: str | Path, name: str = "new", end: bytes = b"\0") -> Any:
    """Give an order of NUL-terminated words, and the bytes that it borrows."""
    ops = csrc.ffi.new("char[]", b"\0".join(os.fsencode(word) for word in words) + end)
    text = csrc.ffi.new("char[]", name.encode())
    made = csrc.ffi.new("struct prt_cgroup_order *", (ops, len(ops) - 1, text))
    return made, (ops, text)


def create(csrc: Csrc, *words: str | Path, max_fds: int = 4, max_texts: int = 64, end: bytes = b"\0") -> list[int]:
    fds, texts = csrc.ffi.new("int[]", max(max_fds, 1)), csrc.ffi.new("char[]", max_texts)
    result: Any = csrc.ffi.new("struct prt_cgroup_result *", (fds, max_fds, 0, texts, max_texts, 0))
    made, kept = order(csrc, *words, end=end)
    csrc.call("prt_cgroup_create", made, result)
    assert kept
    return [fds[n] for n in range(result.n_fds)]


def test_an_order_is_done_from_left_to_right(csrc: Csrc, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/limit").write_text("max")

    fds = create(csrc, "d", tmp_path, "o", ".", "c", tmp_path / "there", "w", "limit", "10", "o", "limit")

    assert os.path.samestat(os.fstat(fds[0]), (tmp_path / "new").stat())
    assert (tmp_path / "there/limit").read_text() == "10x"
    assert [os.get_inheritable(fd) for fd in fds] == [False, False]
    for fd in fds:
        os.close(fd)


FAILING: dict[str, tuple[list[str], dict[str, Any], int, int]] = {
    "no such file": (["w", "none", "1"], {}, errno.ENOENT, 3),
    "a word lacks": (["w", "none"], {}, errno.EINVAL, 3),
    "not terminated": (["o", "."], {"end": b""}, errno.EINVAL, 3),
    "too many descriptors": (["o", ".", "o", "."], {"max_fds": 2}, errno.ENOBUFS, 4),
    "a name too long": (["w", "n" * 5000, "1"], {}, errno.ENAMETOOLONG, 3),
}


@pytest.mark.parametrize("why", FAILING)
def test_a_failed_order_leaves_nothing(csrc: Csrc, tmp_path: Path, why: str) -> None:
    words, limits, code, step = FAILING[why]

    with pytest.raises(Failure) as caught:
        create(csrc, "d", tmp_path, "o", ".", *words, **limits)

    assert (caught.value.code, caught.value.step) == (code, step)
    assert os.listdir(tmp_path) == []


def test_all_are_removed_and_the_first_failure_is_told(csrc: Csrc, tmp_path: Path) -> None:
    for parent in ("a", "b", "c"):
        (tmp_path / parent / "new").mkdir(parents=True)
    (tmp_path / "b/new/busy").mkdir()
    parents, kept = order(csrc, tmp_path / "a", tmp_path / "none", tmp_path / "b", tmp_path / "c")

    with pytest.raises(Failure) as caught:
        csrc.call("prt_cgroup_remove", parents, 1000)

    assert kept
    assert (caught.value.code, caught.value.path) == (errno.ENOTEMPTY, str(tmp_path / "b/new"))
    assert [name for name in "abc" if (tmp_path / name / "new").exists()] == ["b"]
