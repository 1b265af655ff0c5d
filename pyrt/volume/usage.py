"""How large the files of a volume are."""

from __future__ import annotations

import os

__all__ = ["size_bytes"]


def size_bytes(directory: str) -> int:
    """Give the bytes of all files below a directory, each inode once; -1 where some of them cannot be seen.

    Programs may change what is there meanwhile. No link is followed, so that they can at most make the number wrong.
    """
    seen: set[tuple[int, int]] = set()
    total, open_directories = 0, [directory]
    while open_directories:
        try:
            with os.scandir(open_directories.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        open_directories.append(entry.path)
                    elif (status.st_dev, status.st_ino) not in seen:
                        seen.add((status.st_dev, status.st_ino))
                        total += status.st_size
        except FileNotFoundError:
            continue
        except OSError:  # closed to this user, or deeper than a path can say
            return -1
    return total
