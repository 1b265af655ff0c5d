"""What the verbs on images work with, made when it is first needed: most runs need none of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyrt.image.record import StoredImage
    from pyrt.image.store import ImageStore
    from pyrt.layer import Trees
    from pyrt.oci.digest import Digest
    from pyrt.registry import RegistryClient, RegistryOptions
    from pyrt.state import Database, Transaction

__all__ = ["Workshop"]


class Workshop:
    """The store of a root, the hands that unpack layers, and the client that talks to registries.

    `trees` makes the hands, `users` gives the containers that are made of an image, `pinned` the layers that they are
    made of, `registries` says how registries are to be reached (None: as the files of this machine say). Thread-safe;
    in a forked child everything is made anew.
    """

    def __init__(
        self,
        root: str,
        database: Callable[[], Database],
        trees: Callable[[], Trees],
        *,
        users: Callable[[Digest], Iterable[str]] = lambda id: (),
        pinned: Callable[[Transaction], Iterable[Digest]] = lambda tx: (),
        registries: RegistryOptions | None = None,
    ) -> None:
        self._root = root
        self._database = database
        self._make_trees = trees
        self._registries = registries
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._store: ImageStore | None = None
        self._trees: Trees | None = None
        self._client: RegistryClient | None = None
        self._pinned = pinned
        self.users = users

    @property
    def scratch(self) -> str:
        """A directory for what has no name yet."""
        return self._root

    @property
    def store(self) -> ImageStore:
        """The images of this root."""
        with self._guarded():
            if self._store is None:
                self._store = self._open()
            return self._store

    @property
    def trees(self) -> Trees:
        """The hands that unpack layers and take trees apart."""
        with self._guarded():
            if self._trees is None:
                self._trees = self._make_trees()
            return self._trees

    def client(self) -> RegistryClient:
        """Give the client of registries, whose connections and tokens are kept."""
        from pyrt.registry import RegistryClient, RegistryOptions

        with self._guarded():
            if self._client is None:
                self._client = RegistryClient(self._registries or RegistryOptions.read())
            return self._client

    def note(self, action: str, id: str, name: str, image: StoredImage | None = None) -> None:
        """Add what was done to an image, with its labels, to the events of the root; `name` as docker has it there."""
        from pyrt.state import EventLog

        labels = {} if image is None else self.store.document(image).config.labels
        EventLog(self._root).append("image", action, id, {**labels, "name": name})

    def note_removal(self, action: str, id: Digest) -> None:
        """Add that an image was untagged or deleted, for which docker's events know its id alone."""
        self.note(action, str(id), str(id))

    def close(self) -> None:
        """Close connections and end the hands' processes. A second call does nothing."""
        with self._guarded():
            for each in (self._client, self._trees):
                if each is not None:
                    each.close()
            self._client = self._trees = self._store = None

    def _open(self) -> ImageStore:
        from pyrt.content import LocalStore
        from pyrt.image.store import ImageStore
        from pyrt.snapshot import Layers
        from pyrt.state import Leases

        database = self._database()
        content = LocalStore(f"{self._root}/content", durable=False)  # nor are unpacked layers: see README, Limits
        layers = Layers(f"{self._root}/layers", database, remover=lambda path: self.trees.remove(path))
        store = ImageStore(database, content, layers, Leases(database, f"{self._root}/owners"), self._pinned)
        store.clean()
        return store

    def _guarded(self) -> threading.RLock:
        if self._pid != os.getpid():  # another thread may have held the lock at the fork
            self._lock = threading.RLock()
            self._pid = os.getpid()
            self._store = self._trees = self._client = None
        return self._lock
