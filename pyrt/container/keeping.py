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
    from pyrt.layer import Trees
    from pyrt.runtime.cgroups import Cgroup
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

    def facts(self) -> HostFacts:
        """Give what is known of this host."""

    def cgroup(self, name: str) -> Cgroup:
        """Give the cgroup of a monitor's container, to be closed. Raises NotFound."""

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
