"""`engine.containers`: containers that were kept when their program ended, under docker-py's names.

Takes what KeptStore knows of them; gives their changes, their files as a tar, images made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from pyrt.container.files import Files, open_root
from pyrt.container.kept import KeptContainer, KeptStore
from pyrt.errors import Unsupported, WrongState
from pyrt.layer import Change, Root, Trees
from pyrt.snapshot import Uppers

__all__ = ["Committer", "Container", "ContainerCollection", "Keeping"]

ImageT = TypeVar("ImageT", covariant=True)


class Committer(Protocol[ImageT]):
    """Makes an image of what a container has written: see Container.commit."""

    def __call__(
        self,
        container: KeptContainer,
        upper: Iterator[bytes],
        repository: str | None,
        tag: str | None,
        *,
        message: str,
        author: str,
        changes: Sequence[str],
    ) -> ImageT:
        """Make the image of a container's upper layer, a tar."""


@dataclass(frozen=True, slots=True)
class Keeping(Generic[ImageT]):
    """What the verbs on kept containers work with."""

    store: KeptStore
    uppers: Uppers
    trees: Trees
    commit: Committer[ImageT]
    open_running: Callable[[str], Root | None]  # by the id, of a container that this engine runs
    user_namespace: Callable[[], int]


class Container(Files, Generic[ImageT]):
    """One container: `id`, `short_id`, `name`, `image`, `status` ("running" or "exited"), `exit_code`."""

    def __init__(self, keeping: Keeping[ImageT], kept: KeptContainer) -> None:
        self._keeping = keeping
        self._kept = kept

    @property
    def id(self) -> str:
        """64 hexadecimal digits."""
        return self._kept.id

    @property
    def short_id(self) -> str:
        """The first twelve digits of the id."""
        return self._kept.id[:12]

    @property
    def name(self) -> str:
        """The name that it was given, or the beginning of its id."""
        return self._kept.name

    @property
    def image(self) -> str:
        """The image's name, as it was asked for."""
        return self._kept.image

    @property
    def command(self) -> tuple[str, ...]:
        """The program and its arguments."""
        return self._kept.args

    @property
    def created_ns(self) -> int:
        """When it was made, in nanoseconds since 1970."""
        return self._kept.created_ns

    @property
    def status(self) -> str:
        """ "running" or "exited"."""
        return "running" if self._keeping.store.is_running(self._kept) else "exited"

    @property
    def exit_code(self) -> int | None:
        """How its program ended, 128+n after signal n; None while it runs, and where its owner was killed with it."""
        return self._kept.exit_code

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of its image, and its own."""
        return self._kept.config.labels

    def diff(self) -> tuple[Change, ...]:
        """Give what its program has changed: kind A (added), C (changed), D (deleted), and the path."""
        return self._keeping.trees.changes(self._upper(), self._kept.lowers)

    def export(self) -> Iterator[bytes]:
        """Give all of its files as a tar, in pieces. Raises Unsupported on a host without overlays."""
        return self._keeping.trees.write_merged((self._upper(), *self._kept.lowers))

    def commit(
        self,
        repository: str | None = None,
        tag: str | None = None,
        *,
        message: str = "",
        author: str = "",
        changes: Sequence[str] = (),
    ) -> ImageT:
        """Make an image of its image and what its program has written; `changes` are a Dockerfile's instructions.

        Raises WrongState while it runs, ImageNotFound where its image was removed, InvalidOption.
        """
        if self._kept.image_id is None:
            reason = f"it was made of {self.image}, which is no image of the store; export it, and import that"
            raise Unsupported(f"commit of container {self.name}", reason)
        with self._still():
            upper = self._keeping.trees.write(self._upper())
            return self._keeping.commit(
                self._kept, upper, repository, tag, message=message, author=author, changes=changes
            )

    def remove(self) -> None:
        """Remove it with all that it has written. Raises WrongState while it runs."""
        with self._still() as lock:
            self._keeping.uppers.remove(self.id)
            self._keeping.store.forget(self._kept)  # last: who is killed before may remove it again
            lock.unlink()

    @contextmanager
    def _still(self) -> Iterator[Any]:
        with self._keeping.store.borrow(self._kept) as lock:
            yield lock

    def _open_root(self) -> Root:
        return open_root(self._keeping, self._kept)

    def _upper(self) -> str:
        return self._keeping.uppers.upper(self.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Container) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<Container: {self.name}>"


class ContainerCollection(Generic[ImageT]):
    """The kept containers of an engine's root, of whichever process made them."""

    def __init__(self, keeping: Keeping[ImageT]) -> None:
        self._keeping = keeping

    def get(self, name: str) -> Container[ImageT]:
        """Give the container of a name, an id or the beginning of one. Raises ContainerNotFound."""
        return Container(self._keeping, self._keeping.store.find(name))

    def list(self) -> list[Container[ImageT]]:
        """Give all containers, the newest first."""
        return [Container(self._keeping, each) for each in self._keeping.store.all()]

    def prune(self) -> tuple[str, ...]:
        """Remove all containers whose program has ended; give their ids."""
        removed = []
        for container in self.list():
            try:
                container.remove()
            except WrongState:
                continue
            removed.append(container.id)
        return tuple(removed)
