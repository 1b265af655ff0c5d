"""Layers as archives and as directories: tar ⇄ tree, in the form that overlayfs stacks.

Takes iterables of byte chunks and directories (paths or descriptors), gives directories, iterators of chunks and values
that say what was done. Raises InvalidSpec for a layer that cannot be unpacked, IntegrityError for a stream that is
corrupt or ends early, InvalidArgument and SyscallError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrt.layer.ahead import Hashed, ahead, hashed
from pyrt.layer.applied import Applied, Limits, Link, Pending, Skipped
from pyrt.layer.apply import Owner, apply
from pyrt.layer.aside import aside
from pyrt.layer.changes import Change, changes, compare
from pyrt.layer.copyup import Directory, Found, copy_up, find, make_directory, remove
from pyrt.layer.removal import remove_child, remove_tree
from pyrt.layer.root import LocalRoot, Root
from pyrt.layer.settle import settle
from pyrt.layer.trees import LocalTrees, Trees
from pyrt.layer.write import IdMap, Written, write

if TYPE_CHECKING:
    from pyrt.layer.compression import Compression, compress, decompress
    from pyrt.layer.mapped import MappedTrees
    from pyrt.layer.namespaced import joined, overlaid

__all__ = [
    "Applied",
    "Change",
    "Compression",
    "Directory",
    "Found",
    "Hashed",
    "IdMap",
    "Limits",
    "Link",
    "LocalRoot",
    "LocalTrees",
    "MappedTrees",
    "Owner",
    "Pending",
    "Root",
    "Skipped",
    "Trees",
    "Written",
    "ahead",
    "apply",
    "aside",
    "changes",
    "compare",
    "compress",
    "copy_up",
    "decompress",
    "find",
    "hashed",
    "joined",
    "make_directory",
    "overlaid",
    "remove",
    "remove_child",
    "remove_tree",
    "settle",
    "write",
]


def __getattr__(name: str) -> object:
    """Load the codecs, and what needs processes, when they are asked for (PEP 562)."""
    if name == "MappedTrees":
        from pyrt.layer.mapped import MappedTrees

        return MappedTrees
    if name in ("joined", "overlaid"):
        from pyrt.layer import namespaced

        return getattr(namespaced, name)
    if name not in ("Compression", "compress", "decompress"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pyrt.layer import compression

    return getattr(compression, name)
