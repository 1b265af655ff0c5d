"""Writing into the upper directory of an overlay that is not mounted, in the form that the kernel would give it.

Takes directories (paths or descriptors) as layers, the lowers topmost first, and paths of the tree that they show
together. Symbolic links in such a path lead on inside that tree, never out of it; the last component is not followed.
Bad input changes nothing. Every verb raises SyscallError.

Temporary names are made in `work`, a directory on the upper's file system that is emptied after a crash; without one
they are made beside what is written, which is right for an upper that a crash drops as a whole.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from pyrt._native.copyup import CopyUp, Removal, Upper
from pyrt.errors import SyscallError

__all__ = ["Directory", "Found", "copy_up", "descriptor", "find", "make_directory", "remove"]

Directory = int | str
"""A directory: its path, or a descriptor, which stays the caller's."""

_STEP_BYTES = 64 << 20  # some 50 ms, until Ctrl-C is heard
_STEP_ENTRIES = 1000


@dataclass(frozen=True, slots=True)
class Found:
    """Where a path of the merged tree leads: `layer` is 0 for the upper, i for the i-th lower, counted from 1.

    `path` is the same place without symbolic links, relative to the root ("" is the root itself).
    """

    layer: int
    path: str


def copy_up(
    lowers: Sequence[Directory],
    upper: Directory,
    path: str,
    *,
    target: str | None = None,
    work: Directory | None = None,
    userxattr: bool = False,
    own_ids: bool = False,
    durable: bool = True,
) -> None:
    """Make `path` of a lower layer appear in the upper, with the directories above it, equal in all but its links.

    What the upper has already stays as it is; a directory is copied up without what is in it. `target` lets it appear
    under another name, for a hard link: there it replaces what is no directory, and directories that are missing are
    made. `userxattr` says that the overlay's attributes are user.*, `own_ids` that what only root may give (owners,
    capabilities) may be lost. `durable` has the data on the disk before the name appears. Raises SyscallError.
    """
    with (
        _opened(lowers, upper, work, userxattr, own_ids, durable) as opened,
        closing(CopyUp(opened, path, target)) as copying,
    ):
        while copying.step(_STEP_BYTES):
            pass


def remove(
    lowers: Sequence[Directory],
    upper: Directory,
    path: str,
    *,
    work: Directory | None = None,
    userxattr: bool = False,
    own_ids: bool = False,
) -> None:
    """Remove `path`, a directory with all that is in it: a whiteout takes its place where a lower layer has it."""
    with _opened(lowers, upper, work, userxattr, own_ids) as opened, closing(Removal(opened, path)) as removal:
        while removal.step(_STEP_ENTRIES):
            pass


def make_directory(
    lowers: Sequence[Directory],
    upper: Directory,
    path: str,
    mode: int = 0o755,
    *,
    work: Directory | None = None,
    userxattr: bool = False,
    own_ids: bool = False,
) -> None:
    """Make the new directory `path` and those above it; it is opaque where it replaces something of a lower layer."""
    with _opened(lowers, upper, work, userxattr, own_ids) as opened:
        opened.mkdir(path, mode)


def find(
    lowers: Sequence[Directory],
    upper: Directory | None,
    path: str,
    *,
    follow: bool = True,
    userxattr: bool = False,
) -> Found:
    """Say where `path` leads in the merged tree; SyscallError with ENOENT where nothing is there (whiteouts included).

    `upper` None: the lowers alone; they count from 1 all the same. `follow` follows a link that the path ends in.
    """
    with _opened(lowers, -1 if upper is None else upper, None, userxattr) as opened:
        return Found(*opened.find(path, follow=follow))


@contextmanager
def _opened(
    lowers: Sequence[Directory],
    upper: Directory,
    work: Directory | None,
    userxattr: bool,
    own_ids: bool = False,
    durable: bool = True,
) -> Iterator[Upper]:
    with ExitStack() as stack:
        layers = [descriptor(layer, stack) for layer in (upper, *lowers)]
        scratch = -1 if work is None else descriptor(work, stack)
        yield Upper(layers, work=scratch, userxattr=userxattr, own_ids=own_ids, durable=durable)


def descriptor(directory: Directory, stack: ExitStack) -> int:
    """Give a directory's descriptor; one that is opened for it closes with the stack. Raises SyscallError."""
    if isinstance(directory, int):
        return directory
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as e:
        raise SyscallError(e.errno or errno.EIO, "open", directory, detail="a layer") from e
    stack.callback(os.close, fd)
    return fd
