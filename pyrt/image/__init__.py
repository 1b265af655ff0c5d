"""Images: immutable views of what a container starts from, whatever medium holds them, and the verbs on them.

Takes image names, media and archives; gives an ImageView (its ImageConfig, and the Rootfs that a container of it gets),
Image and ImageCollection (`engine.images`), `copy` between any two media. Raises InvalidReference, ImageNotFound,
Unsupported, IntegrityError, InvalidSpec, Conflict and what registries answer.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyrt.image.collection import Image, ImageCollection
    from pyrt.image.host import HostView
    from pyrt.image.open import TRANSPORTS, open_image
    from pyrt.image.progress import OnProgress, Progress
    from pyrt.image.rootfs import DirectoryView
    from pyrt.image.view import DEFAULT_PATH, ImageView
    from pyrt.image.views import PullPolicy, Views
    from pyrt.image.workshop import Workshop

__all__ = [
    "DEFAULT_PATH",
    "TRANSPORTS",
    "DirectoryView",
    "HostView",
    "Image",
    "ImageCollection",
    "ImageView",
    "OnProgress",
    "Progress",
    "PullPolicy",
    "Views",
    "Workshop",
    "open_image",
]

_HOMES = {
    "DEFAULT_PATH": "view",
    "DirectoryView": "rootfs",
    "HostView": "host",
    "Image": "collection",
    "ImageCollection": "collection",
    "ImageView": "view",
    "OnProgress": "progress",
    "Progress": "progress",
    "PullPolicy": "views",
    "TRANSPORTS": "open",
    "Views": "views",
    "Workshop": "workshop",
    "open_image": "open",
}


def __getattr__(name: str) -> object:
    """Load each when it is asked for (PEP 562): a run needs no verbs, and a pull no views."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"pyrt.image.{_HOMES[name]}"), name)
