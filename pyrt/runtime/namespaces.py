"""Namespaces by the specification's names, as clone(2) flags."""

from __future__ import annotations

from collections.abc import Iterable

from pyrt.errors import InvalidSpec
from pyrt.oci.spec import Namespace

__all__ = ["NEW_MOUNTS", "clone_flags", "join_flags"]

FLAGS = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "pid": 0x20000000,
    "network": 0x40000000,
}


NEW_MOUNTS = FLAGS["mount"]
USER = 0x10000000


def join_flags(namespaces: Iterable[Namespace]) -> int:
    """Give the flags of all namespaces that a container has of its own, "user" among them, for who joins it.

    Raises InvalidSpec as `clone_flags` does.
    """
    namespaces = tuple(namespaces)
    is_inside = any(namespace.type == "user" for namespace in namespaces)
    return clone_flags(namespaces) | (USER if is_inside else 0)


def clone_flags(namespaces: Iterable[Namespace]) -> int:
    """Give the flags for what is to be made; "user" is not among them, for its ids have to be mapped before.

    Raises InvalidSpec for an unknown type, one that is to be joined, and a container without mount or pid namespace.
    """
    flags = 0
    for namespace in namespaces:
        kind = namespace.type
        if namespace.path is not None:
            raise InvalidSpec(f"the {kind} namespace {namespace.path} cannot be joined yet", argument="namespaces")
        if kind not in FLAGS and kind != "user":
            raise InvalidSpec(f"no namespace is of type {kind!r}", argument="namespaces")
        flags |= FLAGS.get(kind, 0)
    for needed in ("mount", "pid"):
        if not flags & FLAGS[needed]:
            raise InvalidSpec(f"a container needs a {needed} namespace of its own", argument="namespaces")
    return flags
