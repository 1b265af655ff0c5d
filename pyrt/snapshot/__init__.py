"""Writable roots made of directories that are never written.

Takes chains of lower directories, gives Mounts (values; nothing is mounted here). Overlay leaves the work to the
kernel, and Uppers too, but keeps what is written; Copying makes a private copy where the kernel refuses an overlay, and
OverlayProbe finds out by trying. Merged reads a chain without a mount. Layers keeps the committed ones, by ChainID.
Raises Unsupported, NameInUse, NotFound, InvalidOption, DigestMismatch and SyscallError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyrt.snapshot.choice import Snapshotters
    from pyrt.snapshot.copying import Copying, copy_tree
    from pyrt.snapshot.layers import Hold, Layer, Layers, Stage
    from pyrt.snapshot.merged import Merged
    from pyrt.snapshot.overlay import Overlay, Uppers, ephemeral
    from pyrt.snapshot.probe import OverlayProbe
    from pyrt.snapshot.snapshotter import Snapshotter

__all__ = [
    "Copying",
    "Hold",
    "Layer",
    "Layers",
    "Merged",
    "Overlay",
    "OverlayProbe",
    "Snapshotter",
    "Snapshotters",
    "Stage",
    "Uppers",
    "copy_tree",
    "ephemeral",
]

_HOMES = {
    "Copying": "copying",
    "Hold": "layers",
    "Layer": "layers",
    "Layers": "layers",
    "Merged": "merged",
    "Overlay": "overlay",
    "OverlayProbe": "probe",
    "Snapshotter": "snapshotter",
    "Snapshotters": "choice",
    "Stage": "layers",
    "Uppers": "overlay",
    "copy_tree": "copying",
    "ephemeral": "overlay",
}


def __getattr__(name: str) -> object:
    """Load each when it is asked for (PEP 562): a run needs no committed layers, and a pull nothing else."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"pyrt.snapshot.{_HOMES[name]}"), name)
