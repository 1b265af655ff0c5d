"""Write a tree in overlay form as the tar archive of a layer: what is in the tree alone decides on its bytes.

The reverse of apply(): a whiteout becomes an empty file `.wh.NAME`, an opaque directory has `.wh..wh..opq` in it.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from pyrt._native import tarwrite
from pyrt.errors import InvalidArgument, ResourceBusy, SyscallError, Unsupported
from pyrt.layer.apply import is_privileged, opened

__all__ = ["IdMap", "Written", "write"]

IdMap = Sequence[tuple[int, int, int]]
"""Triples of ids (inside, outside, count): what the file system has as `outside` is `inside` in the archive."""

_PIECE_BYTES = 1 << 20


def write(
    directory: str | int,
    *,
    uids: IdMap = (),
    gids: IdMap = (),
    latest: int | None = None,
    root: bool = False,
    userxattr: bool | None = None,
    plain: bool = False,
) -> Written:
    """Give an iterator over the archive of a directory (a path or a descriptor), in pieces of 1 MiB.

    No mtime is later than `latest` (seconds since 1970, as SOURCE_DATE_EPOCH). `root` adds an entry `./`. `userxattr`
    says whether opaque directories are marked in user.overlay.*, as is the default but for root of the machine.
    `plain` leaves out whiteouts and marks of opaque directories: the archive is of what the tree shows, and no layer.
    The tree should not change meanwhile. Nothing is read before the first piece is asked for.

    Raises, while iterating, ResourceBusy for a tree that did change, InvalidArgument for what an archive cannot tell (a
    name that begins with .wh., an owner that no map has, a path that is too long), Unsupported for parts that overlayfs
    keeps elsewhere (metacopy, redirect_dir), and SyscallError.
    """
    flags = (tarwrite.ROOT if root else 0) | (tarwrite.PLAIN if plain else 0)
    if userxattr or (userxattr is None and not is_privileged()):
        flags |= tarwrite.USERXATTR
    with ExitStack() as stack:
        fd = stack.enter_context(opened(directory))
        if latest is None:
            return Written(tarwrite.TarWriter(fd, flags, uids=uids, gids=gids))
        return Written(tarwrite.TarWriter(fd, flags, uids=uids, gids=gids, latest=latest))


class Written:
    """The pieces of an archive, and counts of what has been given so far. Closed at its end, or by close()."""

    def __init__(self, writer: tarwrite.TarWriter) -> None:
        self._writer = writer
        self._is_open = True
        self.entries = 0
        self.size_bytes = 0  # of files, holes included
        self.skipped_sockets = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if not self._is_open:
            raise StopIteration
        try:
            piece = self._writer.step(_PIECE_BYTES)
        except SyscallError as error:
            self._is_open = False
            raise _blamed(error) from error
        counts = self._writer.counts()
        self.entries, self.size_bytes = counts["entries"], counts["bytes"]
        self.skipped_sockets = counts["sockets_skipped"]
        if len(piece) < _PIECE_BYTES:
            self.close()
        if not piece:
            raise StopIteration
        return piece

    def close(self) -> None:
        """Read no more. A second call does nothing."""
        self._is_open = False
        self._writer.close()


def _blamed(error: SyscallError) -> Exception:
    """Turn what is the tree's fault into an error that says so."""
    what = f"the tree cannot become a layer: {error.filename!r}: {error.detail}"
    if error.op != "tarwrite":
        return error
    if error.errno == errno.EBUSY:
        return ResourceBusy(f"{what}; stop or pause what writes to it")
    if error.errno == errno.EOPNOTSUPP:
        return Unsupported("layer", what)
    if error.errno in (errno.EINVAL, errno.EOVERFLOW, errno.ENAMETOOLONG):
        return InvalidArgument(what)
    return error
