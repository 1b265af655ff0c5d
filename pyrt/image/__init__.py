"""Images: immutable views of what a container starts from, whatever medium holds them.

Takes an image name, gives an ImageView: its ImageConfig, and the Rootfs that a container of it gets. Raises
InvalidReference, ImageNotFound and Unsupported.
"""

from __future__ import annotations

from pyrt.image.host import HostView
from pyrt.image.open import TRANSPORTS, open_image
from pyrt.image.rootfs import DirectoryView
from pyrt.image.view import DEFAULT_PATH, ImageView

__all__ = ["DEFAULT_PATH", "TRANSPORTS", "DirectoryView", "HostView", "ImageView", "open_image"]
