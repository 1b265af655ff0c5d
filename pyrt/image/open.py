"""Opens the images of this machine: `host:`, `host:full` and `rootfs:DIR`, which need no store."""

from __future__ import annotations

from pyrt.errors import InvalidReference
from pyrt.image.rootfs import DirectoryView
from pyrt.image.view import ImageView

__all__ = ["TRANSPORTS", "is_local", "open_image"]

TRANSPORTS = ("host:", "host:full", "rootfs:DIR", "oci:DIR", "oci-archive:FILE", "docker-archive:FILE")


def is_local(name: str) -> bool:
    """Say whether a name is of an image that this machine has without a store."""
    return name.partition(":")[0] in ("host", "rootfs") and ":" in name


def open_image(name: str) -> ImageView:
    """Give the view of the image `name`. Raises InvalidReference and ImageNotFound."""
    transport, _, rest = name.partition(":")
    if transport == "rootfs":
        return DirectoryView.open(rest)
    if rest not in ("", "full"):
        raise InvalidReference(f"{name!r}: write host: or host:full", argument="image")
    from pyrt.image.host import HostView  # which other images need not wait for

    return HostView.open(full=rest == "full")
