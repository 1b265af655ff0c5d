"""The volumes of one container, from what it asks for to what it mounts, and for as long as it runs."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyrt._native.path import open_in_root
from pyrt.errors import InvalidOption, ResourceBusy, VolumeNotFound

if TYPE_CHECKING:
    from pyrt.container import Draft, VolumeWish
    from pyrt.oci.spec import Mount
    from pyrt.state import Lease
    from pyrt.volume import VolumeRecord, VolumeStore

__all__ = ["Volumes", "attach"]


@dataclass(frozen=True, slots=True)
class Volumes:
    """What one container holds: `anonymous` are the volumes that were made for it, which go with it if `is_passing`."""

    store: VolumeStore
    lease: Lease
    anonymous: tuple[str, ...] = ()
    is_passing: bool = True

    def undo(self) -> None:
        """Take back what was made for it, because it did not start."""
        self.lease.close()
        self._remove()

    def ended(self) -> None:
        """Let go, because its program has ended."""
        self.lease.close()
        if self.is_passing:
            self._remove()

    def _remove(self) -> None:
        for name in self.anonymous:
            with suppress(VolumeNotFound, ResourceBusy):  # somebody else removes it, or uses it
                self.store.remove(name)


def attach(
    store: VolumeStore,
    draft: Draft,
    lowers: Sequence[str],
    user: str,
    *,
    is_passing: bool = True,
) -> tuple[Draft, Volumes]:
    """Make the volumes that a container asks for and that there are not, and fill those that are new.

    `user` is what others are told about who uses them, `lowers` the layers of its image. Gives the Draft with their
    mounts, and what is to be let go in the end. Raises what VolumeStore.create and first_use raise; nothing but
    volumes with a name is left then.
    """
    from pyrt.volume import first_use

    lease = store.hold()
    anonymous: list[str] = []
    in_userns = any(each.type == "user" for each in draft.spec.linux.namespaces)
    found: dict[str, Mount] = {}
    names: dict[str, str] = {}
    try:
        for wish in draft.volumes:
            record = _volume(store, wish, lease, user, is_passing=is_passing)
            if wish.name is None:
                anonymous.append(record.name)
            first_use(store, record, lease, user, () if wish.mount.no_copy else lowers, wish.target)
            names[wish.target] = record.name
            found[wish.target] = _mount(store, wish, record, in_userns)
    except BaseException:
        Volumes(store, lease, tuple(anonymous)).undo()
        raise
    return draft.with_volumes(found, names), Volumes(store, lease, tuple(anonymous), is_passing)


def _volume(store: VolumeStore, wish: VolumeWish, lease: Lease, user: str, *, is_passing: bool) -> VolumeRecord:
    mount = wish.mount
    if wish.is_inherited and wish.name is not None:
        return store.use(wish.name, lease, user)
    return store.create(
        wish.name,
        mount.driver or "local",
        mount.driver_opts,
        mount.labels,
        lease=lease,
        user=user,
        is_passing=is_passing and wish.name is None,
    )


def _mount(store: VolumeStore, wish: VolumeWish, record: VolumeRecord, in_userns: bool) -> Mount:
    data = store.data(record.name)
    mount = store.driver(record.driver).mount(data, record.options, wish.target, in_user_namespace=in_userns)
    if wish.mount.subpath and mount.type == "bind":
        _check_subpath(record.name, mount.source, wish.mount.subpath)
    if in_userns and os.geteuid() == 0 and store.driver(record.driver).is_own(record.options):
        mount = replace(mount, options=(*mount.options, "idmap"))  # whose files they are is as it is for the image's
    return wish.found(mount, is_read_only=bool(record.snapshot_of))


def _check_subpath(name: str, source: str, subpath: str) -> None:
    """Say early that it is not there; what counts is what pyrt-init finds."""
    try:
        top = os.open(source, os.O_PATH | os.O_DIRECTORY)
        try:
            os.close(open_in_root(top, subpath, os.O_PATH))
        finally:
            os.close(top)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):  # the ids of a user namespace may
            return
        raise InvalidOption(f"volume {name} has no {subpath}: {error.strerror}", argument="mounts") from error
