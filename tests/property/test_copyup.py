"""Writing into an upper that is not mounted leaves there what the kernel's overlay leaves: the two are compared."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.layer.copyup import copy_up, find, make_directory, remove
from tests.layers import IS_ROOT, PATHS, TREES, Node, plant
from tests.oracles.overlay import OPERATIONS, Overlay, tree

LOWERS = ["lower1", "lower2", "lower3"]
OPERATION = st.one_of(
    st.tuples(st.just("touch"), PATHS),
    st.tuples(st.just("append"), PATHS, st.sampled_from(["x", "yy"])),
    st.tuples(st.just("chmod"), PATHS, st.sampled_from([0o600, 0o4755])),
    st.tuples(st.just("mkdir"), PATHS, st.sampled_from([0o755, 0o1711])),
    st.tuples(st.just("remove"), PATHS),
    st.tuples(st.just("rename"), PATHS, PATHS),
)


@pytest.fixture(scope="module", params=[pytest.param("trusted", marks=pytest.mark.needs("root")), "user"])
def overlay(request: pytest.FixtureRequest) -> Iterator[tuple[Overlay, bool]]:
    userxattr = request.param == "user"
    with Overlay(userxattr=userxattr) as asked:
        yield asked, userxattr


class Ours:
    """The operations, done to directories that are not mounted."""

    def __init__(self, top: str, userxattr: bool) -> None:
        self._lowers = [os.path.join(top, lower) for lower in LOWERS]
        self._upper = os.path.join(top, "upper")
        self._look: dict[str, Any] = {"userxattr": userxattr}
        self._options = self._look | {"work": os.path.join(top, "work"), "own_ids": not IS_ROOT}

    def do(self, name: str, path: str, *arguments: Any) -> int:
        decoded = os.fsdecode(path.encode("latin-1"))
        try:
            getattr(self, name, self._in_the_copy)(
                *((decoded, *arguments) if hasattr(self, name) else (name, decoded, *arguments))
            )
        except OSError as e:
            return e.errno or -1
        return 0

    def touch(self, path: str) -> None:
        copy_up(self._lowers, self._upper, path, durable=False, **self._options)

    def mkdir(self, path: str, mode: int) -> None:
        self._parent(path)
        make_directory(self._lowers, self._upper, path, mode, **self._options)
        os.chmod(os.path.join(self._upper, find(self._lowers, self._upper, path, **self._look).path), mode)

    def remove(self, path: str) -> None:
        remove(self._lowers, self._upper, path, **self._options)

    def rename(self, path: str, target: str) -> None:
        other = os.fsdecode(target.encode("latin-1"))
        if stat.S_ISDIR(self._status(path).st_mode):
            raise OSError(errno.EISDIR, "a directory")
        self._parent(other)
        if self._place(path) == self._place(other):
            return
        copy_up(self._lowers, self._upper, path, target=other, durable=False, **self._options)
        remove(self._lowers, self._upper, path, **self._options)

    def _in_the_copy(self, name: str, path: str, *arguments: Any) -> None:
        if not stat.S_ISREG(self._status(path).st_mode):
            raise OSError(errno.EINVAL, "no regular file")
        self.touch(path)
        found = find(self._lowers, self._upper, path, follow=False, **self._look)
        assert found.layer == 0
        OPERATIONS[name](os.path.join(os.fsencode(self._upper), os.fsencode(found.path)), *arguments)

    def _status(self, path: str) -> os.stat_result:
        found = find(self._lowers, self._upper, path, follow=False, **self._look)
        return os.lstat(os.path.join([self._upper, *self._lowers][found.layer], found.path))

    def _parent(self, path: str) -> None:
        find(self._lowers, self._upper, os.path.dirname(path), **self._look)

    def _place(self, path: str) -> str:
        above = find(self._lowers, self._upper, os.path.dirname(path), **self._look).path
        return os.path.join(above, os.path.basename(path))


@pytest.mark.needs("overlay")
@given(
    layers=st.tuples(TREES, TREES, TREES),
    upper=TREES,
    operations=st.lists(OPERATION, min_size=1, max_size=5),
)
def test_an_upper_is_left_as_the_kernel_leaves_it(
    overlay: tuple[Overlay, bool],
    layers: tuple[dict[str, Node], ...],
    upper: dict[str, Node],
    operations: list[tuple[Any, ...]],
) -> None:
    kernel, userxattr = overlay
    top = tempfile.mkdtemp()
    os.chmod(top, 0o755)
    try:
        for name, nodes in zip(LOWERS, layers, strict=True):
            plant(f"{top}/{name}", nodes, userxattr=userxattr)
        for name in ("upper", "theirs"):
            plant(f"{top}/{name}", upper, userxattr=userxattr, is_upper=True)
        os.mkdir(f"{top}/work")
        ours = Ours(top, userxattr)

        errors, view = kernel.ask(top, LOWERS, "theirs", operations)
        our_errors = [ours.do(*operation) for operation in operations]

        assert our_errors == errors
        assert os.listdir(f"{top}/work") == []
        assert tree(f"{top}/upper".encode(), upper=True) == tree(f"{top}/theirs".encode(), upper=True)
        assert kernel.ask(top, LOWERS, "upper", []) == ([], view)
    finally:
        shutil.rmtree(top)
