"""Files in and out of containers, running or stopped.

Takes a process, or the layers of a container that has ended (`sources`), and paths of the container; gives ContainerFS
with pathlib's manners, and archives and copies with docker's. Whatever the container does meanwhile, nothing is
resolved outside of its root, and nothing but regular files is opened. Raises the builtin OSErrors in ContainerFS,
elsewhere NotFound, Conflict, InvalidArgument, WrongState, Unsupported and SyscallError.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyrt.files.archive import get_archive, path_stat, put_archive
    from pyrt.files.copy import Copied, copy_in, copy_out
    from pyrt.files.fs import ContainerFS
    from pyrt.files.paths import ContainerPath
    from pyrt.files.sources import process_root, stopped_root

__all__ = [
    "ContainerFS",
    "ContainerPath",
    "Copied",
    "copy_in",
    "copy_out",
    "get_archive",
    "path_stat",
    "process_root",
    "put_archive",
    "stopped_root",
]

_HOMES = {
    "ContainerFS": "fs",
    "ContainerPath": "paths",
    "Copied": "copy",
    "copy_in": "copy",
    "copy_out": "copy",
    "get_archive": "archive",
    "path_stat": "archive",
    "process_root": "sources",
    "put_archive": "archive",
    "stopped_root": "sources",
}


def __getattr__(name: str) -> object:
    """Load what is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"pyrt.files.{_HOMES[name]}"), name)
