"""Where a path leads in a chroot: one component after the other, with lstat and readlink alone (path_resolution(7)).

Nothing may change meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat

__all__ = ["resolve"]

MAX_LINKS = 40


def resolve(root: bytes, path: bytes, *, nofollow: bool, directory: bool, symlinks: bool = True) -> bytes | int:
    """Give the place below `root` that open(2) with O_PATH would open, or the errno of the failure.

    `nofollow` and `directory` are O_NOFOLLOW and O_DIRECTORY; without `symlinks`, RESOLVE_NO_SYMLINKS is asked for.
    """
    here: list[bytes] = []
    names = path.split(b"/")
    links = 0
    while names:
        if not is_directory(root, here):
            return errno.ENOTDIR
        name = names.pop(0)
        if name in (b"", b".", b".."):  # an empty one stands for a slash at the end
            here = here[:-1] if name == b".." else here
            continue
        if len(name) > 255:
            return errno.ENAMETOOLONG
        place = b"/".join((root, *here, name))
        if not os.path.lexists(place):
            return errno.ENOENT
        if os.path.islink(place) and (names or not nofollow):
            links += 1
            if links > MAX_LINKS or not symlinks:
                return errno.ELOOP
            target = os.readlink(place)
            here = [] if target.startswith(b"/") else here
            names = target.split(b"/") + names
        else:
            here.append(name)
    if directory and not is_directory(root, here):
        return errno.ENOTDIR
    return b"/".join((root, *here))


def is_directory(root: bytes, names: list[bytes]) -> bool:
    """Say whether a place is a directory, and no link to one."""
    return stat.S_ISDIR(os.lstat(b"/".join((root, *names))).st_mode)
