"""What a layer's archive makes, in memory: tarfile reads it, and a tree of nodes is changed entry by entry.

Knows every rule of csrc/prt_untar.h and no file system. `snapshot` gives a directory in the same form, to be compared.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

__all__ = ["Node", "Refused", "Tree", "Whole", "snapshot", "unpack"]

MAX_LINKS = 40
OVERLAY = ("user.overlay.", "trusted.overlay.")
_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.GNUTYPE_SPARSE: "file",
    tarfile.SYMTYPE: "symlink",
    tarfile.CHRTYPE: "char",
    tarfile.BLKTYPE: "block",
    tarfile.FIFOTYPE: "fifo",
    tarfile.DIRTYPE: "directory",
}

Path = tuple[str, ...]
Whole = dict[str, tuple[object, ...]]
"""Paths, each with everything that is to be equal."""


class Refused(Exception):
    """The layer is bad."""


@dataclass(eq=False)
class Node:
    """A file of any kind; `content` is its bytes, link target or device number. Hard links are the same node."""

    kind: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime_ns: int | None = None  # None: whatever it is
    content: object = None
    xattrs: dict[str, bytes] = field(default_factory=dict)
    children: dict[str, Node] = field(default_factory=dict)
    is_implied: bool = False
    is_opaque: bool = False
    target: str = ""  # of a hard link that is not there yet


class Tree:
    """A layer. `owner` is the uid and gid that everything gets, None: as the archive says."""

    def __init__(self, owner: tuple[int, int] | None = None, *, devices: bool = True) -> None:
        self.owner = owner
        self.devices = devices
        self.root = self._directory(implied=True)
        self.is_opaque = False

    def add(self, info: tarfile.TarInfo, data: bytes) -> None:
        """Take an entry."""
        path = components(info.name)
        if any(name.startswith(".wh..wh.") and name != ".wh..wh..opq" for name in path) or ".wh..wh..opq" in path[:-1]:
            return
        if any(name.startswith(".wh.") for name in path[:-1]):
            raise Refused("a whiteout that is a directory")
        if not path:
            return self._add_root(info)
        if path[-1] in (".wh.", ".wh..", ".wh..."):
            raise Refused("a whiteout of nothing")
        parent = self._parent(path[:-1])
        name = path[-1]
        if name == ".wh..wh..opq":
            self._hide(parent)
        elif name.startswith(".wh."):
            self._whiteout(parent, name[4:])
        elif info.islnk():
            self._link(parent, name, components(info.linkname))
        else:
            self._put(parent, name, self._node(info, data))

    def whole(self) -> Whole:
        """Give the tree in the form of snapshot()."""
        first: dict[int, str] = {}
        whole: Whole = {}
        for path, node in sorted(self._walk("", self.root), key=lambda item: item[0]):
            link = first.setdefault(id(node), path)
            xattrs = tuple(sorted(node.xattrs.items()))
            owner = (node.uid, node.gid, node.mode, xattrs) if node.kind != "whiteout" else ()
            whole[path] = (node.kind, *owner, node.mtime_ns, node.content, node.is_opaque, link)
        return whole

    def implied(self) -> set[str]:
        """Give the directories that no entry was for."""
        return {path for path, node in self._walk("", self.root) if node.is_implied}

    def missing(self) -> dict[str, str]:
        """Give the hard links to other layers."""
        return {path: node.target for path, node in self._walk("", self.root) if node.target}

    def _walk(self, path: str, node: Node) -> Iterator[tuple[str, Node]]:
        yield path, node
        for name, child in node.children.items():
            yield from self._walk(f"{path}/{name}".lstrip("/"), child)

    def _directory(self, *, implied: bool) -> Node:
        uid, gid = self.owner or (0, 0)
        return Node("directory", 0o755, uid, gid, is_implied=implied)

    def _add_root(self, info: tarfile.TarInfo) -> None:
        if not info.isdir():
            raise Refused("a root that is no directory")
        self._update(self.root, self._node(info, b""))

    def _update(self, old: Node, new: Node) -> None:
        old.mode, old.uid, old.gid, old.mtime_ns = new.mode, new.uid, new.gid, new.mtime_ns
        old.xattrs |= new.xattrs
        old.is_implied = False

    def _hide(self, node: Node) -> None:
        if node is self.root:
            self.is_opaque = True
        else:
            node.is_opaque = True

    def _whiteout(self, parent: Node, name: str) -> None:
        there = parent.children.setdefault(name, Node("whiteout", content=0))
        there.is_opaque |= there.kind == "directory"

    def _link(self, parent: Node, name: str, target: Path) -> None:
        found = self._find(target)
        if found is None or found.kind == "whiteout":
            parent.children[name] = Node("whiteout", content=0, target="/".join(target))
        elif found.kind == "directory":
            raise Refused("a hard link to a directory")
        else:
            there = parent.children.get(name)
            if there is not None and there is not found and self._is_below(there, found):
                raise Refused("a hard link to what it replaces")
            parent.children[name] = found

    def _is_below(self, top: Node, node: Node) -> bool:
        """Say whether the only name of a file is in a directory that is about to go."""
        kept = [other for path, other in self._walk("", self.root) if other is node]
        gone = [other for path, other in self._walk("", top) if other is node]
        return bool(gone) and len(kept) > 0

    def _put(self, parent: Node, name: str, node: Node) -> None:
        there = parent.children.get(name)
        if node.kind in ("char", "block") and not self.devices:
            return
        if node.kind == "char" and node.content == 0:
            raise Refused("a device 0/0")
        if node.kind == "directory" and there is not None:
            if there.kind == "directory":
                self._update(there, node)
                return
            node.is_opaque = True
        parent.children[name] = node

    def _node(self, info: tarfile.TarInfo, data: bytes) -> Node:
        kind = _KINDS.get(info.type)
        if kind is None:
            raise Refused("an unknown type")
        uid, gid = self.owner or (info.uid, info.gid)
        mode = info.mode & 0o7777
        if self.owner is not None and kind == "file":
            mode &= ~(stat.S_ISUID if info.uid else 0) & ~(stat.S_ISGID if info.gid else 0)
        content: object = data if kind == "file" else info.linkname if kind == "symlink" else None
        if kind in ("char", "block"):
            content = os.makedev(info.devmajor, info.devminor)
        if kind == "symlink":
            mode = 0o777
        return Node(kind, mode, uid, gid, mtime_of(info), content, xattrs_of(info) if kind != "symlink" else {})

    def _parent(self, path: Path) -> Node:
        """Walk to a directory as a process chrooted here would, making what lacks."""
        here = [self.root]
        rest, links = list(path), 0
        while rest:
            name = rest.pop(0)
            if name in ("", "."):
                continue
            if name == "..":
                here = here[:-1] or here
                continue
            child = here[-1].children.get(name)
            if child is None or child.kind == "whiteout":
                made = self._directory(implied=True)
                made.is_opaque = child is not None
                child = here[-1].children[name] = made
            if child.kind == "symlink":
                links += 1
                if links > MAX_LINKS:
                    raise Refused("too many links")
                target = str(child.content)
                here = here[:1] if target.startswith("/") else here
                rest = target.split("/") + rest
                continue
            if child.kind != "directory":
                raise Refused("a parent that is no directory")
            here.append(child)
        return here[-1]

    def _find(self, path: Path) -> Node | None:
        """Find a link's target, whose directory may be behind symlinks; nothing is made."""
        here = [self.root]
        rest, links = list(path[:-1]), 0
        while rest:
            name = rest.pop(0)
            if name in ("", "."):
                continue
            if name == "..":
                here = here[:-1] or here
                continue
            child = here[-1].children.get(name)
            if child is None or child.kind not in ("directory", "symlink"):
                return None
            if child.kind == "directory":
                here.append(child)
                continue
            links += 1
            if links > MAX_LINKS:
                raise Refused("too many links")
            target = str(child.content)
            here = here[:1] if target.startswith("/") else here
            rest = target.split("/") + rest
        return here[-1].children.get(path[-1]) if path else here[-1]


def components(name: str) -> Path:
    """Split a name of the archive."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if parts and parts[-1].startswith(".wh.") and not name.endswith("/"):  # what it hides may have 255 bytes
        measured = (*parts[:-1], parts[-1].removeprefix(".wh."))
    else:
        measured = parts
    if ".." in parts or any(len(os.fsencode(part)) > 255 for part in measured) or "\0" in name:
        raise Refused("a name that leads out, or is too long")
    return parts


def mtime_of(info: tarfile.TarInfo) -> int:
    """Give the time in ns, which a float cannot hold."""
    return int((Decimal(info.pax_headers.get("mtime", str(info.mtime))) * 10**9).to_integral_value("ROUND_FLOOR"))


def xattrs_of(info: tarfile.TarInfo) -> dict[str, bytes]:
    """Give the attributes that are not for overlayfs."""
    prefix = "SCHILY.xattr."
    found = {key.removeprefix(prefix): value for key, value in info.pax_headers.items() if key.startswith(prefix)}
    return {name: os.fsencode(value) for name, value in found.items() if not name.startswith(OVERLAY)}


def unpack(raw: bytes, tree: Tree) -> Tree:
    """Apply an archive; raise Refused where it is bad."""
    with tarfile.open(fileobj=io.BytesIO(raw), errorlevel=2) as archive:
        for info in archive:
            file = archive.extractfile(info) if info.isreg() else None
            tree.add(info, file.read() if file else b"")
    return tree


def snapshot(top: str, *, without_mtime: set[str] | frozenset[str] = frozenset()) -> Whole:
    """Give what a directory holds; whiteouts have neither owner nor time that matter."""
    paths = [""]
    for directory, subdirectories, files in os.walk(top):
        paths += [os.path.relpath(os.path.join(directory, name), top) for name in subdirectories + files]
    first: dict[int, str] = {}
    whole: Whole = {}
    for path in sorted(paths):
        place = os.path.join(top, path)
        st = os.lstat(place)
        link = first.setdefault(st.st_ino, path)
        names = os.listxattr(place, follow_symlinks=False)
        is_opaque = "user.overlay.opaque" in names
        assert os.geteuid() != 0 or is_opaque == ("trusted.overlay.opaque" in names), path
        plain = {name: os.getxattr(place, name, follow_symlinks=False) for name in names if name.startswith("user.")}
        xattrs = tuple(sorted((name, value) for name, value in plain.items() if not name.startswith(OVERLAY)))
        kind, content = content_of(place, st)
        owner = (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode), xattrs) if kind != "whiteout" else ()
        mtime = None if kind == "whiteout" or path in without_mtime else st.st_mtime_ns
        whole[path] = (kind, *owner, mtime, content, is_opaque, link)
    return whole


def content_of(place: str, st: os.stat_result) -> tuple[str, object]:
    """Give a file's kind and content."""
    if stat.S_ISREG(st.st_mode):
        with open(place, "rb") as file:
            return "file", file.read()
    if stat.S_ISLNK(st.st_mode):
        return "symlink", os.readlink(place)
    if stat.S_ISCHR(st.st_mode):
        return ("char" if st.st_rdev else "whiteout"), st.st_rdev
    if stat.S_ISBLK(st.st_mode):
        return "block", st.st_rdev
    return ("directory" if stat.S_ISDIR(st.st_mode) else "fifo"), None
