"""Writable roots made of directories that are never written.

Takes lower directories, gives Mounts (values; nothing is mounted here). Overlay leaves the work to the kernel; Copying
makes a private copy where the kernel refuses an overlay, and OverlayProbe finds out by trying. Raises Unsupported,
NameInUse, InvalidOption and SyscallError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrt.snapshot.overlay import Overlay, ephemeral
from pyrt.snapshot.probe import OverlayProbe
from pyrt.snapshot.snapshotter import Snapshotter

if TYPE_CHECKING:
    from pyrt.snapshot.copying import Copying, copy_tree

__all__ = ["Copying", "Overlay", "OverlayProbe", "Snapshotter", "copy_tree", "ephemeral"]


def __getattr__(name: str) -> object:
    """Load what few hosts need when it is asked for (PEP 562)."""
    if name not in ("Copying", "copy_tree"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pyrt.snapshot import copying

    return getattr(copying, name)
