"""Opens an image by its name: the transport before the colon says where it is."""

from __future__ import annotations

import re

from pyrt.errors import ImageNotFound, InvalidReference
from pyrt.image.rootfs import DirectoryView
from pyrt.image.view import ImageView

__all__ = ["TRANSPORTS", "open_image"]

TRANSPORTS = ("host:", "host:full", "rootfs:DIR")
_LAYOUTS = ("oci", "oci-archive", "docker-archive")
_PLAIN = re.compile(r"[a-z0-9][a-z0-9._/:@+-]*", re.IGNORECASE)


def open_image(name: str) -> ImageView:
    """Give the view of the image `name`. Raises InvalidReference and ImageNotFound."""
    transport, colon, rest = name.partition(":")
    if colon and transport == "host":
        if rest not in ("", "full"):
            raise InvalidReference(f"{name!r}: write host: or host:full", argument="image")
        from pyrt.image.host import HostView  # which other images need not wait for

        return HostView.open(full=rest == "full")
    if colon and transport == "rootfs":
        return DirectoryView.open(rest)
    known = f"images available here are {', '.join(TRANSPORTS)}"
    if colon and transport in _LAYOUTS:
        raise ImageNotFound(f"{name}: this version opens no {transport} images; {known}")
    if not _PLAIN.fullmatch(name):
        raise InvalidReference(f"{name!r} is no image name; {known}", argument="image")
    raise ImageNotFound(f"{name}: there is no image of this name, and this version pulls none; {known}")
