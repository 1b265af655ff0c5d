"""Unpack the tar archive of a layer into a directory of its own, in the form of an overlay's lower directory.

No layer waits for another: what needs those below (hard links to their files, directories that the archive only
implies) is given back as Pending, for settle().
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

from pyrt._native import untar
from pyrt.errors import IntegrityError, InvalidArgument, InvalidSpec, SyscallError
from pyrt.layer.applied import Applied, Limits, Link, Pending, Skipped

__all__ = ["Owner", "apply", "default_owner", "is_privileged", "opened"]

Owner = Literal["archive", "caller"]
"""Whom files belong to: whom the archive says, or all of them the caller, who may not change owners."""

_CAP_SYS_ADMIN, _CAP_MKNOD = 21, 27
_ALL_IDS = "0 0 4294967295"


def apply(
    chunks: Iterable[bytes], directory: str | int, *, limits: Limits | None = None, owner: Owner | None = None
) -> Applied:
    """Unpack an uncompressed archive into an empty directory (a path, made where it lacks, or a descriptor).

    All chunks are taken, also those behind the archive's end mark. `owner` is by default whom the archive says for root
    (also that of a user namespace), and otherwise the caller. Where it fails, what has been unpacked so far stays: the
    directory is the caller's to remove.

    Raises InvalidSpec for a layer that is malformed, over the limits or leads out of its root, IntegrityError for
    one that ends early, SyscallError for what the system refuses, InvalidArgument for a directory with something in it.
    """
    limits = limits or Limits()
    flags = untar.NO_OWNER if (owner or default_owner()) == "caller" else 0
    flags |= 0 if is_privileged() else untar.UNPRIVILEGED
    with opened(directory, make=True) as root:
        if os.listdir(root):
            raise InvalidArgument("a layer is unpacked into an empty directory", argument="directory")
        os.fchmod(root, 0o755)
        with (
            _blamed(),
            untar.Untar(
                root,
                flags,
                bytes_limit=limits.size_bytes,
                headers_limit=limits.headers,
                metadata_bytes_limit=limits.metadata_bytes,
                memory_bytes_limit=limits.memory_bytes,
            ) as archive,
        ):
            fed = 0
            for chunk in chunks:
                fed += len(chunk)
                if fed > limits.stream_bytes:
                    raise InvalidSpec(f"the layer inflates to more than the limit of {limits.stream_bytes} bytes")
                archive.feed(chunk)
            events = archive.finish()
            return _applied(archive.counts(), events)


def default_owner() -> Owner:
    """Say whom files belong to unless the caller says it."""
    return "archive" if os.geteuid() == 0 else "caller"


def is_privileged() -> bool:
    """Say whether this process is the machine's root, who may make device nodes and set every attribute."""
    with open("/proc/self/uid_map") as file:
        is_initial = file.read().split() == _ALL_IDS.split()
    if os.geteuid() != 0 or not is_initial:
        return False
    with open("/proc/self/status") as file:
        effective = int(next(line for line in file if line.startswith("CapEff:")).split()[1], 16)
    return all(effective >> capability & 1 for capability in (_CAP_SYS_ADMIN, _CAP_MKNOD))


@contextmanager
def opened(directory: str | int, *, make: bool = False) -> Iterator[int]:
    """Give a descriptor of a directory; a given one stays the caller's."""
    if isinstance(directory, int):
        yield directory
        return
    try:
        if make and not os.path.isdir(directory):
            os.mkdir(directory)
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise SyscallError(error.errno or errno.EIO, "open", directory) from error
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _blamed() -> Iterator[None]:
    """Turn what is the archive's fault into an error of the layer."""
    try:
        yield
    except SyscallError as error:
        if error.op != "untar":
            raise
        where = f"the layer's entry {error.filename!r}" if error.filename else "the layer"
        kind = IntegrityError if error.errno == errno.ENODATA else InvalidSpec
        raise kind(f"{where}: {error.detail}") from error


def _applied(counts: dict[str, int], events: list[tuple[int, bytes, bytes]]) -> Applied:
    paths = [(kind, os.fsdecode(path), os.fsdecode(target)) for kind, path, target in events]
    pending = Pending(
        implied=tuple(path for kind, path, _ in paths if kind == untar.IMPLIED_DIRECTORY),
        links=tuple(Link(path, target) for kind, path, target in paths if kind == untar.MISSING_LINK),
        opaque_root=any(kind == untar.OPAQUE_ROOT for kind, _, _ in paths),
    )
    skipped = Skipped(
        devices=counts["devices_skipped"],
        xattrs=counts["xattrs_skipped"],
        set_ids=counts["set_ids_dropped"],
        overlay_xattrs=counts["overlay_xattrs_dropped"],
        aufs=counts["aufs_skipped"],
    )
    return Applied(counts["bytes"], counts["entries"], pending, skipped)
