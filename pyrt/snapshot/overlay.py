"""The kernel's overlay: lower directories, and what is written on top of them, as one tree.

Takes directories, gives Mounts without an upper directory: who mounts adds a private one that ends with the mount.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence

from pyrt.errors import InvalidOption, NameInUse
from pyrt.oci.spec import Mount
from pyrt.snapshot.key import check_key, check_lower

__all__ = ["Overlay", "ephemeral"]

MAX_LOWERS = 500  # OVL_MAX_STACK of the kernel


def ephemeral(lowers: Sequence[str], destination: str = "", *, user_namespace: bool = False) -> Mount:
    """Give the mount of an overlay of `lowers` (absolute paths, the topmost first) that keeps nothing.

    In a user namespace the overlay's own attributes are user.* ones, for trusted.* are root's. Raises InvalidOption.
    """
    if not 0 < len(lowers) <= MAX_LOWERS:
        raise InvalidOption(f"an overlay has 1 to {MAX_LOWERS} lower directories, not {len(lowers)}", argument="lowers")
    for lower in lowers:
        check_lower(lower, "lowers")
    options = ("lowerdir=" + ":".join(map(escape, lowers)),)
    return Mount(destination, "overlay", "overlay", (*options, "userxattr") if user_namespace else options)


def escape(path: str) -> str:
    """Protect what separates paths (`:`) and options (`,`) in the data of an overlay, each with a backslash."""
    return re.sub(r"[\\:,]", r"\\\g<0>", path)


class Overlay:
    """The snapshotter of ephemeral runs: a view is an overlay whose upper is a tmpfs of the container."""

    name = "overlay"

    def __init__(self, *, user_namespace: bool = False) -> None:
        self.user_namespace = user_namespace
        self._active: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def prepare(self, key: str, lower: str, destination: str = "") -> Mount:
        """Give the overlay of `lower`: nothing is written, so that a crash leaves nothing (see Snapshotter)."""
        check_key(key)
        mount = ephemeral((lower,), destination, user_namespace=self.user_namespace)
        with self._lock:
            destinations = self._active.setdefault(key, set())
            if destination in destinations:
                raise NameInUse(f"snapshot {key} has a view at {destination or 'its root'} already")
            destinations.add(destination)
        return mount

    def remove(self, key: str) -> None:
        """End the views of `key` (see Snapshotter)."""
        with self._lock:
            self._active.pop(key, None)
