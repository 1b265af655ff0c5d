"""`engine.volumes`: volumes under docker-py's names.

Takes what VolumeStore knows of them; gives Volumes, which can be removed, copied and measured.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pyrt.errors import InvalidOption, ResourceBusy, VolumeNotFound
from pyrt.volume.content import copied
from pyrt.volume.filters import Filters, chooser, is_true
from pyrt.volume.record import VolumeRecord
from pyrt.volume.store import VolumeStore
from pyrt.volume.usage import size_bytes

__all__ = ["Volume", "VolumeCollection"]


class Volume:
    """One volume: `name` (which is also its `id`), `short_id`, `driver`, `labels`, `attrs`."""

    def __init__(self, store: VolumeStore, record: VolumeRecord) -> None:
        self._store = store
        self._record = record

    @property
    def id(self) -> str:
        """The volume's name."""
        return self._record.name

    @property
    def short_id(self) -> str:
        """The first twelve letters of the name."""
        return self._record.name[:12]

    @property
    def name(self) -> str:
        """The name that it was given, or 64 hexadecimal digits."""
        return self._record.name

    @property
    def driver(self) -> str:
        """What says where its files are."""
        return self._record.driver

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        return self._record.labels

    @property
    def attrs(self) -> dict[str, Any]:
        """All that is known of it, as `docker volume inspect` has it; a snapshot's Status says what it is of."""
        record = self._record
        moment = datetime.fromtimestamp(record.created_ns // 10**9).astimezone()
        found: dict[str, Any] = {
            "CreatedAt": moment.isoformat().replace("+00:00", "Z"),
            "Driver": record.driver,
            "Labels": dict(record.labels) or None,
            "Mountpoint": self._store.data(record.name),
            "Name": record.name,
            "Options": dict(record.options) or None,
            "Scope": "local",
        }
        if record.snapshot_of:
            found["Status"] = {"SnapshotOf": record.snapshot_of}
        return found

    def usage(self) -> dict[str, int]:
        """Give the Size in bytes of its files, and the RefCount of containers that use it.

        The size is -1 where the files are not in this root, or belong to ids that this user may not read.
        """
        is_own = self._store.driver(self.driver).is_own(self._record.options)
        size = size_bytes(self._store.data(self.name)) if is_own else -1
        return {"RefCount": len(self._store.users().get(self.name, ())), "Size": size}

    def clone(self, name: str) -> Volume:
        """Make a volume with the same files, labels and options, by shared blocks where the file system has them.

        What is written meanwhile may be in it or not. Raises NameInUse, VolumeNotFound, InvalidOption, Unsupported.
        """
        return Volume(self._store, copied(self._store, self.name, name))

    def snapshot(self, name: str) -> Volume:
        """Make a clone that containers can only read; a clone of it can be written to again. Raises as clone does."""
        return Volume(self._store, copied(self._store, self.name, name, is_snapshot=True))

    def reload(self) -> None:
        """Look again at what is known of it. Raises VolumeNotFound."""
        self._record = self._store.get(self.name)

    def remove(self, force: bool = False) -> None:
        """Remove it with all that is in it; `force` does not mind one that is gone.

        Raises ResourceBusy while a container uses it, VolumeNotFound.
        """
        try:
            self._store.remove(self.name)
        except VolumeNotFound:
            if not force:
                raise

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Volume) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"<Volume: {self.short_id}>"


class VolumeCollection:
    """The volumes of an engine's root, of whichever process made them."""

    def __init__(self, store: VolumeStore) -> None:
        self._store = store

    def create(
        self,
        name: str | None = None,
        driver: str = "local",
        driver_opts: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:
        """Give the volume of a name, made where there is none; without a name it is a new anonymous one.

        `driver_opts` of `local` are docker's: {"type": "tmpfs", "device": "tmpfs", "o": "size=100m"}, {"type": "none",
        "o": "bind", "device": "/srv"}, {"type": "nfs", "o": "addr=192.0.2.1,rw", "device": ":/export"}.

        Raises InvalidOption, Unsupported, and Conflict where there is one of this name with another driver or options.
        """
        return Volume(self._store, self._store.create(name, driver, driver_opts, labels))

    def get(self, name: str) -> Volume:
        """Give the volume of a name. Raises VolumeNotFound."""
        return Volume(self._store, self._store.get(name))

    def list(self, filters: Filters | None = None) -> builtins.list[Volume]:
        """Give all volumes, by name, that pass the filters dangling, driver, label and name. Raises InvalidOption."""
        return [Volume(self._store, each) for each in self._chosen(filters, ("dangling", "driver", "label", "name"))]

    def prune(self, filters: Filters | None = None) -> dict[str, Any]:
        """Remove the anonymous volumes that no container uses, with {"all": True} also those with a name.

        The filters label and label! choose among them. Gives their names as VolumesDeleted, and SpaceReclaimed in
        bytes. Raises InvalidOption.
        """
        given = dict(filters or {})
        everything = is_true("all", given.pop("all", False))
        removed, freed = [], 0
        for record in self._chosen(given, ("label", "label!"), is_unused=True):
            if not (everything or record.is_anonymous):
                continue
            volume = Volume(self._store, record)
            size = volume.usage()["Size"]
            try:
                volume.remove()
            except (ResourceBusy, VolumeNotFound):  # somebody was faster
                continue
            removed.append(volume.name)
            freed += max(size, 0)
        return {"VolumesDeleted": removed, "SpaceReclaimed": freed}

    def _chosen(
        self, filters: Filters | None, known: tuple[str, ...], *, is_unused: bool = False
    ) -> builtins.list[VolumeRecord]:
        if unknown := set(filters or {}) - set(known):
            raise InvalidOption(f"there is no filter {min(unknown)!r} here, but {', '.join(known)}", argument="filters")
        used = self._store.users() if is_unused or "dangling" in (filters or {}) else {}
        chooses = chooser(filters, used)
        return [each for each in self._store.all() if chooses(each) and not (is_unused and each.name in used)]
