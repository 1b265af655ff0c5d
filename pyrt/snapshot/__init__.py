"""Writable roots made of directories that are never written.

Takes lower directories, gives Mounts (values; nothing is mounted here). Overlay leaves the work to the kernel; Copying
makes a private copy where the kernel refuses an overlay, and OverlayProbe finds out by trying. Raises Unsupported,
NameInUse, InvalidOption and SyscallError.
"""

from __future__ import annotations

from pyrt.snapshot.copying import Copying, copy_tree
from pyrt.snapshot.overlay import Overlay, ephemeral
from pyrt.snapshot.probe import OverlayProbe
from pyrt.snapshot.snapshotter import Snapshotter

__all__ = ["Copying", "Overlay", "OverlayProbe", "Snapshotter", "copy_tree", "ephemeral"]
