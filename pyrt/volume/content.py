"""What is put into a volume before containers see it: an image's files at its first use, or another volume's.

Everything is made beside the place where it is to be, and takes that by a rename: a process that is killed leaves the
volume as it was, and the next one throws away what it finds unfinished.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from pyrt.errors import NameInUse, SyscallError, Unsupported
from pyrt.layer import LocalTrees, Trees
from pyrt.snapshot import Merged, copy_tree
from pyrt.state import FileLock, Lease
from pyrt.volume.record import VolumeRecord, check_name
from pyrt.volume.store import DATA, VolumeStore

__all__ = ["copied", "first_use"]

_LOCK, _FRESH = ".lock", ".fresh"
_NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


def first_use(
    store: VolumeStore, record: VolumeRecord, lease: Lease, user: str, lowers: Sequence[str], path: str
) -> None:
    """Make a volume ready for the container `user`, which has it by `lease`, and is about to mount it at `path`.

    A volume that is empty, and that no other container has mounted now, gets the files that the image, whose layers
    are `lowers` (the topmost first), has at `path`, and the owner and mode of that directory. Without lowers
    nothing is copied. Of several containers that start at once one copies, while the others wait. Raises SyscallError.
    """
    with FileLock(os.path.join(store.place(record.name), _LOCK)):
        is_own = store.driver(record.driver).is_own(record.options)
        is_fillable = bool(lowers) and is_own and not record.snapshot_of
        if is_fillable and _is_empty(store.data(record.name)) and not store.is_mounted(record.name):
            _fill(store, record.name, lowers, path)
        store.note_mounted(record.name, lease, user)


def copied(store: VolumeStore, source: str, name: str, *, is_snapshot: bool = False) -> VolumeRecord:
    """Make a volume with the files of another, their data shared where the file system can (FICLONE).

    What is written meanwhile may be in the copy or not. A snapshot can only be read by containers; a clone of it can
    be written to. Raises VolumeNotFound, NameInUse, InvalidOption, and Unsupported for files that are not in the root.
    """
    check_name(name)
    with store.hold() as lease:
        record = store.use(source, lease, f"a copy to {name}")
        if not store.driver(record.driver).is_own(record.options):
            raise Unsupported(f"a copy of volume {source}", "its files are not in this root: its options say where")
        _refuse_taken(name, store.all())
        made = replace(
            record,
            name=name,
            created_ns=time.time_ns(),
            is_anonymous=False,
            is_passing=False,
            snapshot_of=source if is_snapshot else "",
        )
        new = store.begin(lease)
        try:
            os.rmdir(os.path.join(new, DATA))
            _copy(store.trees, store.data(source), os.path.join(new, DATA))
            store.add(made, new)
        except BaseException:
            store.discard(new)
            raise
    return made


def _refuse_taken(name: str, volumes: Iterable[VolumeRecord]) -> None:
    if any(each.name == name for each in volumes):
        raise NameInUse(f"a volume {name} exists already: choose another name, or remove it first")


def _is_empty(directory: str) -> bool:
    """Say whether nothing is in it; one that is closed to this user has had its owner from an image."""
    try:
        with os.scandir(directory) as entries:
            return next(entries, None) is None
    except PermissionError:
        return False
    except OSError as e:
        raise SyscallError(e.errno or errno.EIO, "open", directory, detail="the files of a volume") from e


def _fill(store: VolumeStore, name: str, lowers: Sequence[str], path: str) -> None:
    fresh = os.path.join(store.place(name), _FRESH)
    for left in (fresh, f"{fresh}.partial"):
        store.trees.remove(left)
    if not _copy_from_image(store.trees, lowers, path, fresh):
        return
    try:
        os.rename(fresh, store.data(name))
    except OSError as e:
        store.trees.remove(fresh)
        if e.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # else somebody on the host has put files there
            raise SyscallError(e.errno or errno.EIO, "rename", fresh) from e


def _copy_from_image(trees: Trees, lowers: Sequence[str], path: str, target: str) -> bool:
    """Copy a directory of an image to the new directory `target`; say whether the image has one there."""
    try:
        if isinstance(trees, LocalTrees):
            directories = Merged(tuple(lowers)).directories(path)
            if directories:
                copy_tree(directories, target)
            return bool(directories)
        found = trees.find(lowers, None, path)
        trees.apply(trees.write_merged(lowers, path=found.path, root=True), target)
    except SyscallError as e:
        trees.remove(target)
        if e.errno not in _NOTHING_THERE or os.path.lexists(target):
            raise
        return False
    return True


def _copy(trees: Trees, source: str, target: str) -> None:
    """Copy the files of a volume, whoever they belong to, to the new directory `target`."""
    if isinstance(trees, LocalTrees):
        copy_tree([source], target, plain=True)
        return
    trees.apply(trees.write_merged([source], root=True), target)
