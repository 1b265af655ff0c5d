"""What a stack of layers comes to, in memory: archives applied one after the other to one tree.

Knows neither overlays nor file systems; an archive is read by tarfile.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

__all__ = ["Seen", "flatten", "look"]

Seen = dict[str, tuple[object, ...]]
"""Paths: kind, mode, owner, group, seconds of the last change (not of directories), content."""
_KINDS = {tarfile.REGTYPE: "file", tarfile.SYMTYPE: "link", tarfile.DIRTYPE: "directory", tarfile.FIFOTYPE: "fifo"}


def flatten(layers: Iterable[bytes]) -> Seen:
    """Apply layers, the base first; directories that no entry is for count as root's, 0755."""
    tree: Seen = {}
    for layer in layers:
        added: set[str] = set()
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            for info in archive:
                path = info.name.strip("/")
                above, _, name = path.rpartition("/")
                if name == ".wh..wh..opq":
                    remove(tree, above, added | {above})
                elif name.startswith(".wh."):
                    remove(tree, f"{above}/{name[4:]}".strip("/"), added)
                else:
                    file = archive.extractfile(info) if info.isreg() else None
                    put(tree, path, info, file.read() if file else b"")
                    added.add(path)
    return tree


def remove(tree: Seen, top: str, kept: set[str]) -> None:
    for path in [path for path in tree if path == top or path.startswith(f"{top}/")]:
        if path not in kept:
            del tree[path]


def put(tree: Seen, path: str, info: tarfile.TarInfo, data: bytes) -> None:
    for above in [path[:at] for at, letter in enumerate(path) if letter == "/"]:
        tree.setdefault(above, ("directory", 0o755, 0, 0, None, ""))
    if info.islnk():
        node = tree[info.linkname.strip("/")]
    else:
        kind = _KINDS[info.type]
        content = {"file": hashlib.md5(data).hexdigest(), "link": info.linkname}.get(kind, "")
        changed = None if kind == "directory" else int(info.mtime)
        node = (kind, 0o777 if kind == "link" else info.mode, info.uid, info.gid, changed, content)
    if node[0] != "directory":
        remove(tree, path, set())
    tree[path] = node


def look(top: Path) -> Seen:
    """Give what a directory holds, in the same form."""
    seen: Seen = {}
    for directory, directories, files in os.walk(top):
        for name in directories + files:
            place = Path(directory, name)
            status = place.lstat()
            if place.is_symlink():
                kind, content = "link", os.readlink(place)
            elif place.is_file():
                kind, content = "file", hashlib.md5(place.read_bytes()).hexdigest()
            else:
                kind, content = "directory" if place.is_dir() else "fifo", ""
            changed = None if kind == "directory" else int(status.st_mtime)
            owner = (status.st_uid, status.st_gid)
            seen[str(place.relative_to(top))] = (kind, status.st_mode & 0o7777, *owner, changed, content)
    return seen
