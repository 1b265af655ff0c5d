"""What of /etc is private: a rule, and a few names.

Takes a directory, gives the Files that hide what is private below it. Private is what not everyone may read: a regular
file without read permission for others, a directory that others may not list and enter (as a whole). By name also
private: the host keys of SSH, whatever their mode, and the identity of the machine, machine-id(5).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from pyrt.runtime.bundle import File

__all__ = ["hide_private", "is_private"]


def hide_private(top: str) -> tuple[File, ...]:
    """Give an empty File for everything private below the directory `top`; none where that is not there."""
    return tuple(sorted(_walk(top), key=lambda file: file.path))


def is_private(name: str, mode: int) -> bool:
    """Say whether an entry of /etc with this name and st_mode is private. Symbolic links never are."""
    if stat.S_ISDIR(mode):
        return mode & 0o5 != 0o5
    if not stat.S_ISREG(mode):
        return False
    return not mode & 0o4 or name == "machine-id" or (name.startswith("ssh_host_") and name.endswith("_key"))


def _hiding(path: str, mode: int) -> File:
    """Give the File that hides a file (nothing in it, no permission) or directory (empty, for its owner) at `path`.

    Root owns it, for a user namespace may not have the owner's id. An empty machine-id is one not initialised yet.
    """
    if stat.S_ISDIR(mode):
        return File(path, "dir", mode=0o700, opaque=True)
    return File(path, "file", mode=0o444 if path.endswith("/machine-id") else 0)


def _walk(top: str) -> Iterator[File]:
    waiting = [top]
    while waiting:
        directory = waiting.pop()
        try:
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # gone meanwhile, or closed to this user: who cannot list it cannot show it either
            continue
        try:  # relative to the descriptor, for a path would be resolved again for each entry
            with os.scandir(fd) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        continue
                    path = f"{directory}/{entry.name}"
                    mode = entry.stat(follow_symlinks=False).st_mode
                    if is_private(entry.name, mode):
                        yield _hiding(path, mode)
                    elif stat.S_ISDIR(mode):
                        waiting.append(path)
        finally:
            os.close(fd)
