"""The rooms that an engine puts together, each built when it is first needed, and closed with the engine."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pyrt.engine.layers import Kept

if TYPE_CHECKING:
    from pyrt.container import Draft, Keeping, KeptContainer, KeptStore, Mount, RunOptions
    from pyrt.engine.detached import Detached
    from pyrt.engine.launcher import Launcher
    from pyrt.image import Image, ImageView, Views, Workshop
    from pyrt.layer import Trees
    from pyrt.oci.digest import Digest
    from pyrt.registry import RegistryOptions
    from pyrt.runtime.runtime import Runtime
    from pyrt.snapshot import Snapshotter, Uppers
    from pyrt.state import Database, EventLog, Transaction
    from pyrt.volume import User, VolumeStore

__all__ = ["Rooms"]


class Rooms:
    """What an engine consists of: runtime, images, kept containers, and the state below them. Thread-safe."""

    def __init__(
        self, root: str, registries: RegistryOptions | None, cgroup_parent: str | None, *, owner: object
    ) -> None:
        self._owner = owner  # lives as long as a collection or a process that works with these rooms
        self._root = root
        self._registries = registries
        self._cgroup_parent = cgroup_parent
        self._lock = threading.RLock()
        self._runtime: Runtime | None = None
        self._launcher: Launcher | None = None
        self._database: Database | None = None
        self._workshop: Workshop | None = None
        self._views: Views | None = None
        self._volumes: VolumeStore | None = None

    @property
    def runtime(self) -> Runtime:
        """What the containers of this engine share with each other."""
        with self._lock:
            if self._runtime is None:
                from pyrt.runtime.runtime import Runtime

                self._runtime = Runtime(self._root, cgroup_parent=self._cgroup_parent)
            return self._runtime

    @property
    def launcher(self) -> Launcher:
        """What starts containers."""
        with self._lock:
            if self._launcher is None:
                from pyrt.engine.launcher import Launcher

                self._launcher = Launcher(self._root, self.runtime, self)
            return self._launcher

    @property
    def views(self) -> Views:
        """What opens images to run."""
        with self._lock:
            if self._views is None:
                from pyrt.image import Views

                self._views = Views(lambda: self.workshop)
            return self._views

    @property
    def workshop(self) -> Workshop:
        """What the verbs on images work with."""
        with self._lock:
            if self._workshop is None:
                from pyrt.image import Workshop

                self._workshop = Workshop(
                    self._root,
                    lambda: self.database,
                    self._trees,
                    users=self._users,
                    pinned=self._pinned,
                    registries=self._registries,
                )
            return self._workshop

    @property
    def database(self) -> Database:
        """The records of this root."""
        with self._lock:
            if self._database is None:
                from pyrt.state import Database

                self._database = Database(f"{self._root}/state.db")
            return self._database

    @property
    def events(self) -> EventLog:
        """What has happened on this root."""
        from pyrt.state import EventLog

        return EventLog(self._root)

    @property
    def volumes(self) -> VolumeStore:
        """The volumes of this root."""
        with self._lock:
            if self._volumes is None:
                from pyrt.state import Leases
                from pyrt.volume import VolumeStore

                leases = Leases(self.database, f"{self._root}/owners")  # those of images: a database has one place
                self._volumes = VolumeStore(
                    self.database,
                    f"{self._root}/volumes",
                    leases,
                    lambda: self.workshop.trees,
                    users=self._volume_users,
                )
            return self._volumes

    @property
    def keeping(self) -> Keeping[Image]:
        """What the verbs on kept containers work with."""
        from pyrt.container import Keeping
        from pyrt.engine.launching import Launchings

        uppers = self._uppers(user_namespace=False)
        return Keeping(
            self._kept,
            uppers,
            self.workshop.trees,
            self._commit,
            Launchings(self),
            self._emit,
            lambda name: self.volumes.remove(name),
        )

    @property
    def detached(self) -> Detached:
        """What makes and starts the containers that monitors keep."""
        from pyrt.engine.detached import Detached

        return Detached(self._kept, lambda userns: self._uppers(user_namespace=userns), self.launcher, self.runtime)

    def inherited(self, options: RunOptions) -> list[Mount]:
        """Give the mounts of the kept containers that volumes_from names. Raises ContainerNotFound, InvalidOption."""
        if not options.get("volumes_from"):
            return []
        from pyrt.container import inherited, parse_volumes_from

        found = []
        for name, read_only in parse_volumes_from(options.get("volumes_from")):
            found += inherited(self._kept.find(name).mounts, read_only)
        return found

    def sweep_volumes(self) -> None:
        """Take away what dead processes left of volumes, where there are any."""
        if os.path.isdir(f"{self._root}/volumes"):
            self.volumes.sweep()

    def keep(
        self,
        view: ImageView,
        draft: Draft,
        args: Sequence[str | os.PathLike[str]] | None,
        options: RunOptions,
        snapshotter: Snapshotter,
        container_id: str,
        anonymous: tuple[str, ...] = (),
    ) -> Kept:
        """Record a container that is to stay when its program has ended. Raises NameInUse, Unsupported."""
        from pyrt.engine.detached import check_keepable, describe

        in_userns = check_keepable(view, snapshotter)
        record = describe(view, draft, args, options, container_id, in_userns, anonymous, has_run=True)
        return Kept(self._kept, self._uppers(user_namespace=in_userns), record, self._kept.add(record))

    def close(self) -> None:
        """End the containers that still run, and close what was built. A second call does nothing."""
        with self._lock:
            if self._launcher is not None:
                self._launcher.close()
            if self._workshop is not None:
                self._workshop.close()
            if self._database is not None:
                self._database.close()
            self._launcher = self._workshop = self._database = self._volumes = None
            self.disown()

    def disown(self) -> None:
        """Free what a forked child has of its parent's engine, and leave all else to the parent."""
        if self._runtime is not None:
            self._runtime.close()
            self._runtime = None

    @property
    def _kept(self) -> KeptStore:
        from pyrt.container import KeptStore

        return KeptStore(self.database, f"{self._root}/containers")

    def _uppers(self, *, user_namespace: bool) -> Uppers:
        from pyrt.snapshot import Uppers

        def remover(path: str) -> None:
            self.workshop.trees.remove(path)

        return Uppers(f"{self._root}/containers", user_namespace=user_namespace, remover=remover)

    def _trees(self) -> Trees:
        """Root can write any owner's files, and so can a user in a namespace with subordinate ids, and nobody else."""
        from pyrt.layer import LocalTrees, MappedTrees

        if os.geteuid() == 0 or not self.runtime.mappings.helpers:
            return LocalTrees()
        return MappedTrees(self.runtime.user_namespace)

    def _users(self, image_id: Digest) -> Iterable[str]:
        return [each.name for each in self._kept.all() if each.image_id == image_id]

    def _volume_users(self, tx: Transaction) -> Iterable[User]:
        from pyrt.volume import User

        kept = self._kept
        return [
            User(name, each.name, partial(kept.is_running, each)) for each in kept.items(tx) for name in each.volumes
        ]

    def _pinned(self, tx: Transaction) -> Iterable[Digest]:
        from pyrt.oci.digest import Digest

        return [Digest.parse(layer) for each in self._kept.items(tx) for layer in each.layers]

    def _emit(self, action: str, container: KeptContainer, attributes: dict[str, Any]) -> None:
        """Add what was done to a container to the events of the root."""
        about = {"image": container.image, "name": container.name, **container.labels, **attributes}
        self.events.append("container", action, container.id, about)

    def _commit(
        self,
        container: KeptContainer,
        upper: Iterator[bytes],
        repository: str | None,
        tag: str | None,
        *,
        message: str,
        author: str,
        changes: Sequence[str],
    ) -> Image:
        from pyrt.image import ImageCollection

        return ImageCollection(self.workshop).commit(
            str(container.image_id),
            upper,
            repository,
            tag,
            config=container.config,
            created_by=" ".join(container.args),
            message=message,
            author=author,
            changes=changes,
        )
