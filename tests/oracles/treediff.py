"""How two trees differ, and what a stack of layers shows, by listdir and lstat alone. Nothing may change meanwhile."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

__all__ = ["difference", "merged"]

_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")


def merged(layers: Sequence[bytes], *, userxattr: bool = False) -> dict[bytes, bytes]:
    """Give what directories show, stacked as an overlay, the topmost first: path (b"/a/b") → the place that is seen."""
    seen: dict[bytes, bytes] = {}
    _merge(layers, b"", seen, _OPAQUE[userxattr])
    return seen


def _merge(layers: Sequence[bytes], path: bytes, seen: dict[bytes, bytes], opaque: str) -> None:
    for name in sorted({name for layer in layers for name in os.listdir(layer)}):
        places = [os.path.join(layer, name) for layer in layers if os.path.lexists(os.path.join(layer, name))]
        if _is_whiteout(places[0]):
            continue
        seen[path + b"/" + name] = places[0]
        directories = []
        for place in places:
            if not stat.S_ISDIR(os.lstat(place).st_mode):
                break
            directories.append(place)
            if _attribute(place, opaque) == b"y":
                break
        if directories:
            _merge(directories, path + b"/" + name, seen, opaque)


def difference(before: dict[bytes, bytes], after: dict[bytes, bytes]) -> list[tuple[str, bytes]]:
    """Give Docker's changes between two trees as `merged` gives them."""
    found: dict[bytes, str] = {}
    for path in before.keys() - after.keys():
        above = os.path.dirname(path)
        if above == b"/" or (above in after and stat.S_ISDIR(os.lstat(after[above]).st_mode)):
            found[path] = "D"
    for path, place in after.items():
        if path not in before:
            found[path] = "A"
        elif _differs(before[path], place):
            found[path] = "C"
    for path in list(found):
        while (path := os.path.dirname(path)) != b"/":
            found.setdefault(path, "C")
    return [(found[path], path) for path in sorted(found, key=lambda path: path.split(b"/"))]


def _differs(before: bytes, after: bytes) -> bool:
    old, new = os.lstat(before), os.lstat(after)
    if (old.st_dev, old.st_ino) == (new.st_dev, new.st_ino):
        return False
    if (old.st_mode, old.st_uid, old.st_gid, old.st_rdev) != (new.st_mode, new.st_uid, new.st_gid, new.st_rdev):
        return True
    if stat.S_ISDIR(old.st_mode):
        return False
    if stat.S_ISLNK(old.st_mode) and os.readlink(before) != os.readlink(after):
        return True
    (second, ns), (other_second, other_ns) = divmod(old.st_mtime_ns, 10**9), divmod(new.st_mtime_ns, 10**9)
    is_same_time = second == other_second and (ns == other_ns or ns == 0 or other_ns == 0)
    is_program = stat.S_ISREG(old.st_mode) and old.st_mode & 0o111
    capabilities = [_attribute(place, "security.capability") for place in (before, after) if is_program]
    return old.st_size != new.st_size or not is_same_time or len(set(capabilities)) > 1


def _is_whiteout(place: bytes) -> bool:
    st = os.lstat(place)
    return stat.S_ISCHR(st.st_mode) and st.st_rdev == 0


def _attribute(place: bytes, name: str) -> bytes | None:
    try:
        return os.getxattr(place, name, follow_symlinks=False)
    except OSError:
        return None
