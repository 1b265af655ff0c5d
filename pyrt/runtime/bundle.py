"""Everything that one container is made of, as one frozen value.

Takes nothing from the host: a Bundle is what `plan.compile` turns into the operations that pyrt-init executes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pyrt.oci.spec import Mount, Spec

__all__ = ["Bundle", "File", "Landlock", "Rootfs"]


@dataclass(frozen=True, slots=True)
class File:
    """A file, directory or symbolic link that the root must hold before the program starts.

    `path` is absolute in the container. It is written below the upper directory, so it replaces what the image has at
    this place: a "dir" only gains this owner and mode, unless it is `opaque`, which hides the image's entries too.
    """

    path: str
    type: Literal["file", "dir", "symlink"] = "file"
    content: bytes = b""  # of a file; the target of a symlink
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    opaque: bool = False


@dataclass(frozen=True, slots=True)
class Rootfs:
    """How the root file system comes to be: `mounts` in order, the first for the root itself (destination "").

    An overlay that names no `upperdir` gets a private one on a tmpfs that only the container sees and that ends with
    it; `scratch_bytes` limits all of them together (None: half of the memory, as tmpfs(5) says). No file is written
    into an upper that is named: they are the topmost lower there, and end with the container; what it writes stays.
    """

    mounts: tuple[Mount, ...]
    files: tuple[File, ...] = ()
    scratch_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Landlock:
    """Paths in the container to which the program is confined, on top of everything else (landlock(7))."""

    read_only: tuple[str, ...] = ()
    read_write: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bundle:
    """A Spec with its root, and the few things that config.json has no word for."""

    spec: Spec
    rootfs: Rootfs
    init: bool = False  # pyrt-init stays as PID 1, passes signals on and reaps
    landlock: Landlock | None = None
    stop_signal: int = 15
