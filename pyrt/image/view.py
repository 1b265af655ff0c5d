"""The contract of an image view.

A view is what one image name means at the moment it is opened, and never changes afterwards: `config` says how the
image wants to be run, `rootfs` how a container's root comes to be from it. Until it is closed nobody collects what it
shows, so it is closed when the containers that were made of it have ended. It may be used by any number of threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pyrt.oci.config import ImageConfig
from pyrt.runtime.bundle import Rootfs
from pyrt.snapshot import Snapshotter

if TYPE_CHECKING:
    from pyrt.oci.digest import Digest

__all__ = ["DEFAULT_PATH", "ImageView"]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # Docker's, where an image has none


class ImageView(Protocol):
    """One image, opened."""

    @property
    def name(self) -> str:
        """The full name of the image, transport included."""

    @property
    def config(self) -> ImageConfig:
        """How the image asks to be run."""

    @property
    def is_host(self) -> bool:
        """Whether it shows this machine: costly to open, and far too large to copy."""

    @property
    def image_id(self) -> Digest | None:
        """The image of the store that it shows, None for others."""

    @property
    def chain(self) -> tuple[Digest, ...]:
        """The ChainIDs of that image's layers, the base first."""

    def lowers(self, *, user_namespace: bool) -> tuple[str, ...]:
        """Give the directories that an Overlay of this view has below it: all of them must be fit for one."""

    def rootfs(self, snapshotter: Snapshotter, key: str) -> Rootfs:
        """Prepare the snapshots of a container under `key` and give its root.

        Raises Unsupported where this snapshotter cannot show this image, and what Snapshotter.prepare raises.
        """

    def close(self) -> None:
        """Let go of what it shows. A second call does nothing."""
