"""Layers of an overlay that hypothesis makes up: values, and the directories they stand for."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import strategies as st

from tests.oracles.overlay import OLD_NS

__all__ = ["IS_ROOT", "PATHS", "TREES", "Node", "plant"]

IS_ROOT = os.geteuid() == 0
NAMES = st.sampled_from(["a", "b", "c", "\xff"])
PLACES = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
WAYS = st.lists(NAMES | st.sampled_from(["..", "."]), max_size=3)
PATHS = st.tuples(WAYS, NAMES).map(lambda parts: "/".join([*parts[0], parts[1]]))
OWNERS = st.sampled_from([0, 1, 70_000]) if IS_ROOT else st.just(0)
ACL = "02000000 01000700ffffffff 02000500 01000000 04000500ffffffff 10000500ffffffff 20000500ffffffff"
ATTRIBUTES = {
    "user.a": b"\0\xff",
    "user.overlay.b": b"of another overlay",
    "trusted.c": b"c",
    "trusted.overlay.overlay.opaque": b"y",
    "security.capability": bytes.fromhex("00000002 00040000 00000000 00000000 00000000"),
    "system.posix_acl_access": bytes.fromhex(ACL),
}


class Node(NamedTuple):
    """What is at a place of a layer."""

    kind: str
    mode: int
    uid: int
    gid: int
    time_ns: int
    content: str
    attributes: frozenset[str]


NODES = st.builds(
    Node,
    st.sampled_from(
        ["file", "directory", "directory", "opaque", "link", "whiteout", "fifo", "device", "sparse", "twin"]
    ),
    st.sampled_from([0o755, 0o700, 0o4751, 0o2775, 0o444, 0o1777]),
    OWNERS,
    OWNERS,
    st.integers(0, OLD_NS),
    PATHS,
    st.frozensets(st.sampled_from([*ATTRIBUTES]), max_size=3),
)
TREES = st.dictionaries(PLACES, NODES, max_size=8)


def plant(top: str, nodes: dict[str, Node], *, userxattr: bool, is_upper: bool = False) -> None:
    """Make what the nodes say; what has no place, for something else than a directory is above it, is left out."""
    os.mkdir(top)
    made: dict[str, Node] = {}
    for path, node in sorted(nodes.items()):
        place = os.path.join(top, path).encode("latin-1")
        if os.path.realpath(os.path.dirname(place)) == os.path.dirname(place) and os.path.isdir(os.path.dirname(place)):
            kind = "file" if node.kind == "twin" and is_upper else node.kind
            make(place, node._replace(kind=kind), [os.path.join(top, p).encode("latin-1") for p in made], userxattr)
            made[path] = node
    for path, node in reversed(made.items()):  # the children have changed these
        place = os.path.join(top, path).encode("latin-1")
        os.utime(place, ns=(node.time_ns, node.time_ns), follow_symlinks=False)
    os.utime(top, ns=(OLD_NS, OLD_NS))


def make(place: bytes, node: Node, others: Sequence[bytes], userxattr: bool) -> None:
    if node.kind == "twin" and (files := [other for other in others if os.path.isfile(other) or os.path.islink(other)]):
        os.link(files[0], place, follow_symlinks=False)
        return
    if node.kind in ("directory", "opaque"):
        os.mkdir(place)
        if node.kind == "opaque":
            os.setxattr(place, "user.overlay.opaque" if userxattr else "trusted.overlay.opaque", b"y")
    elif node.kind == "link":
        os.symlink(node.content.encode("latin-1"), place)
    elif node.kind == "whiteout":
        os.mknod(place, stat.S_IFCHR, 0)
        return
    elif node.kind == "fifo" or (node.kind == "device" and not IS_ROOT):
        os.mkfifo(place)
    elif node.kind == "device":
        os.mknod(place, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    else:
        with open(place, "xb") as data:
            data.write(node.content.encode("latin-1"))
            data.truncate(1 << 16 if node.kind == "sparse" else None)
    if IS_ROOT:
        os.chown(place, node.uid, node.gid, follow_symlinks=False)
    give_attributes(place, node, userxattr)
    if node.kind != "link":
        os.chmod(place, node.mode | (0 if IS_ROOT else 0o700))


def give_attributes(place: bytes, node: Node, userxattr: bool) -> None:
    for name in node.attributes:
        if (userxattr and name.startswith("user.overlay.")) or not (IS_ROOT or name.startswith("user.a")):
            continue
        if name.startswith("user.") and not (os.path.isfile(place) or os.path.isdir(place)):
            continue
        if os.path.islink(place) and not name.startswith("trusted."):
            continue
        try:
            os.setxattr(place, name, ATTRIBUTES[name], follow_symlinks=False)
        except OSError as e:
            assert e.errno in (errno.EOPNOTSUPP, errno.EPERM), name
