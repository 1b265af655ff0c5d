"""The writable layers of containers: those that end with their program, and those that stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyrt.container import KeptContainer, KeptStore
    from pyrt.snapshot import Snapshotter, Uppers
    from pyrt.state import FileLock

__all__ = ["Kept", "NoVolumes", "Passing"]


@dataclass(frozen=True, slots=True)
class Passing:
    """The writable layer of a container that ends with it."""

    snapshotter: Snapshotter
    key: str

    def undo(self) -> None:
        """Remove it, because the container did not start."""
        self.snapshotter.remove(self.key)

    def ended(self, code: int) -> None:
        """Remove it, because the program has ended."""
        self.snapshotter.remove(self.key)


@dataclass(frozen=True, slots=True)
class Kept:
    """The writable layer of a container that is kept, which is recorded, and locked while its program runs."""

    store: KeptStore
    snapshotter: Uppers
    record: KeptContainer
    lock: FileLock

    @property
    def key(self) -> str:
        """The container's id."""
        return self.record.id

    def undo(self) -> None:
        """Take it back, because it did not start."""
        self.store.forget(self.record)  # first: a directory without a record is cleared by who looks next
        self.snapshotter.remove(self.record.id)
        self.lock.unlink()

    def ended(self, code: int) -> None:
        """Note how its program ended; `code` is a returncode of subprocess."""
        self.store.ended(self.record.id, code if code >= 0 else 128 - code)
        self.lock.close()


@dataclass(frozen=True, slots=True)
class NoVolumes:
    """What a container without volumes holds of them (see pyrt.engine.volumes, which its start does not load)."""

    anonymous: tuple[str, ...] = ()

    def undo(self) -> None:
        """Take back nothing."""

    def ended(self) -> None:
        """Let go of nothing."""
