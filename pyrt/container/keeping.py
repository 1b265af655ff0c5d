"""What the verbs on containers work with, as the engine hands it over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pyrt.container.kept import KeptStore
from pyrt.container.record import KeptContainer

if TYPE_CHECKING:
    import os

    from pyrt.container.create_options import CreateOptions
    from pyrt.container.host import HostFacts
    from pyrt.layer import Root, Trees
    from pyrt.runtime.cgroups import Cgroup
    from pyrt.runtime.exec import Executor
    from pyrt.runtime.link import Link
    from pyrt.snapshot import Uppers

__all__ = ["Committer", "Keeping", "Launching"]

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


class Launching(Protocol):
    """Makes containers and starts them."""

    def create(
        self, image: str, args: Sequence[str | os.PathLike[str]] | None, options: CreateOptions
    ) -> KeptContainer:
        """Make a container of an image's name."""

    def start(self, record: KeptContainer, before: Callable[[Link], None]) -> Link:
        """Start it below a monitor, to whose connection `before` may do something first."""

    def executor(self, record: KeptContainer) -> Executor:
        """Give what starts further programs in a container."""

    def open_running(self, record: KeptContainer) -> Root | None:
        """Give the files of a container that runs, to be closed; None where this engine cannot come to them."""

    def user_namespace(self) -> int:
        """Give the user namespace that containers of this engine share."""

    def cgroup(self, name: str, *, required: bool = True) -> Cgroup:
        """Give the cgroup of a monitor's container, to be closed; where it has none, an empty one, or NotFound."""

    def facts(self) -> HostFacts:
        """Give what is known of this host."""

    def sweep(self) -> None:
        """End what is left of monitors that were killed."""


@dataclass(frozen=True, slots=True)
class Keeping(Generic[ImageT]):
    """The records, what was written, and those who act."""

    store: KeptStore
    uppers: Uppers
    trees: Trees
    commit: Committer[ImageT]
    launching: Launching
    emit: Callable[[str, KeptContainer, dict[str, Any]], None]
    remove_volume: Callable[[str], None]
