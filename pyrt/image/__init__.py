"""Images: immutable views of what a container starts from, whatever medium holds them.

Takes an image name, gives an ImageView: its ImageConfig, and the Rootfs that a container of it gets. Raises
InvalidReference, ImageNotFound and Unsupported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrt.image.open import TRANSPORTS, open_image
from pyrt.image.rootfs import DirectoryView
from pyrt.image.view import DEFAULT_PATH, ImageView

if TYPE_CHECKING:
    from pyrt.image.host import HostView

__all__ = ["DEFAULT_PATH", "TRANSPORTS", "DirectoryView", "HostView", "ImageView", "open_image"]


def __getattr__(name: str) -> object:
    """Load the view of the host when it is asked for (PEP 562)."""
    if name != "HostView":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pyrt.image.host import HostView

    return HostView
