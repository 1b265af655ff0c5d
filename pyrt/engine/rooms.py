"""The rooms that an engine puts together, each built when it is first needed, and closed with the engine."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pyrt.engine.layers import Kept
from pyrt.errors import Unsupported
from pyrt.snapshot import Overlay

if TYPE_CHECKING:
    from pyrt.container import Draft, Keeping, KeptContainer, KeptStore, RunOptions
    from pyrt.engine.launcher import Launcher
    from pyrt.image import Image, ImageView, Views, Workshop
    from pyrt.layer import Trees
    from pyrt.oci.digest import Digest
    from pyrt.registry import RegistryOptions
    from pyrt.runtime.runtime import Runtime
    from pyrt.snapshot import Snapshotter, Uppers
    from pyrt.state import Database, Transaction

__all__ = ["Rooms"]


class Rooms:
    """What an engine consists of: runtime, images, kept containers, and the state below them. Thread-safe."""

    def __init__(self, root: str, registries: RegistryOptions | None, cgroup_parent: str | None) -> None:
        self._root = root
        self._registries = registries
        self._cgroup_parent = cgroup_parent
        self._lock = threading.RLock()
        self._runtime: Runtime | None = None
        self._launcher: Launcher | None = None
        self._database: Database | None = None
        self._workshop: Workshop | None = None
        self._views: Views | None = None

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
    def keeping(self) -> Keeping[Image]:
        """What the verbs on kept containers work with."""
        from pyrt.container import Keeping

        return Keeping(
            self._kept,
            self._uppers(user_namespace=False),
            self.workshop.trees,
            self._commit,
            open_running=lambda id: None if self._launcher is None else self._launcher.open_root(id),
            user_namespace=lambda: self.runtime.user_namespace(),
        )

    def keep(
        self,
        view: ImageView,
        draft: Draft,
        args: Sequence[str | os.PathLike[str]] | None,
        options: RunOptions,
        snapshotter: Snapshotter,
        container_id: str,
    ) -> Kept:
        """Record a container that is to stay when its program has ended. Raises NameInUse, Unsupported."""
        from pyrt.container import kept_config

        lacks = ""
        if view.is_host:
            lacks = f"{view.name} is the whole machine; it needs an image of its own"
        elif not isinstance(snapshotter, Overlay):
            lacks = "it needs an overlay, and this host gives none here"
        elif snapshotter.user_namespace and os.geteuid() == 0:
            lacks = "in a user namespace of root's its files would have other owners than its image's"
        if lacks:
            raise Unsupported("a container that is kept", lacks)
        assert isinstance(snapshotter, Overlay)
        record = self._kept.new(
            container_id,
            options.get("name"),
            image=view.name,
            image_id=view.image_id,
            chain=view.chain,
            lowers=view.lowers(user_namespace=snapshotter.user_namespace),
            config=kept_config(view.config, args, options),
            args=draft.spec.process.args,
            in_user_namespace=snapshotter.user_namespace,
        )
        uppers = self._uppers(user_namespace=snapshotter.user_namespace)
        return Kept(self._kept, uppers, record, self._kept.add(record))

    def close(self) -> None:
        """End the containers that still run, and close what was built. A second call does nothing."""
        with self._lock:
            if self._launcher is not None:
                self._launcher.close()
            if self._workshop is not None:
                self._workshop.close()
            if self._database is not None:
                self._database.close()
            self._launcher = self._workshop = self._database = None
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

    def _pinned(self, tx: Transaction) -> Iterable[Digest]:
        return [chain_id for each in self._kept.items(tx) for chain_id in each.chain]

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
