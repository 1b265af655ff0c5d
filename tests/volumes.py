"""Stores of volumes on a directory of a test, trees to fill them with, and processes that are killed on their way."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyrt.layer import LocalTrees
from pyrt.state import Database, Leases, Transaction
from pyrt.volume import User, VolumeStore

__all__ = ["IMAGE_FILES", "killed_at_each_step", "make_image", "open_store", "tree"]

IMAGE_FILES = ["again", "deep", "deep/er", "deep/er/file", "file", "link"]
_STEPS = frozenset(
    {"os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.link", "os.symlink", "os.chmod", "os.chown", "os.utime"}
)


@contextmanager
def open_store(root: Path, users: Callable[[Transaction], Iterable[User]] = lambda tx: ()) -> Iterator[VolumeStore]:
    """Open the volumes below a directory, as an engine does."""
    root.mkdir(exist_ok=True)
    with Database(root / "state.db") as database:
        leases = Leases(database, root / "owners")
        yield VolumeStore(database, f"{root}/volumes", leases, LocalTrees, users=users)


def make_image(top: Path) -> Path:
    """Make a directory with IMAGE_FILES below `data`, as an image has it."""
    data = top / "data"
    (data / "deep/er").mkdir(parents=True)
    (data / "file").write_text("content\n")
    (data / "file").chmod(0o640)
    (data / "again").hardlink_to(data / "file")
    (data / "link").symlink_to("/nowhere")
    (data / "deep/er/file").write_text("deeper\n")
    (data / "deep").chmod(0o751)
    data.chmod(0o750)
    return top


def tree(directory: str | Path) -> list[str]:
    """Give all names below a directory."""
    return sorted(str(path.relative_to(directory)) for path in Path(directory).rglob("*"))


def killed_at_each_step(act: Callable[[], object], before: Callable[[], object], after: Callable[[], object]) -> int:
    """Do `act` in processes that are killed before their first change of a file, their second, and so on to the end.

    `before` and `after` are called around each of them, here; the number of those that were killed is given.
    """
    for step in range(1, 500):
        before()
        status = _killed(act, step)
        after()
        if status == 0:
            return step - 1
        assert os.WIFSIGNALED(status), f"the process of step {step} ended with {status:#x}"
    raise AssertionError("there is no end of steps")


def _killed(act: Callable[[], object], step: int) -> int:
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    left = step

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in _STEPS:
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(count)
        act()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    os._exit(3)
