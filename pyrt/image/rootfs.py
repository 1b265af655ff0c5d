"""`rootfs:DIR`: a directory as an image. It is never written.

Takes the directory, gives its view. A root file system has no configuration: the program runs as root in `/`, with
Docker's PATH.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from pyrt.errors import ImageNotFound, InvalidReference
from pyrt.image.view import DEFAULT_PATH
from pyrt.oci.config import ImageConfig
from pyrt.runtime.bundle import Rootfs
from pyrt.snapshot import Snapshotter

__all__ = ["DirectoryView"]


@dataclass(frozen=True, slots=True)
class DirectoryView:
    """The view of one directory, whose path is absolute and was resolved when the image was opened."""

    directory: str
    name: str
    config: ImageConfig = field(default=ImageConfig(env=(f"PATH={DEFAULT_PATH}",), working_dir="/"))

    @classmethod
    def open(cls, directory: str) -> DirectoryView:
        """Open a directory; symbolic links on the way to it are followed now and never again.

        Raises InvalidReference for an empty name, ImageNotFound where there is no directory that may be entered.
        """
        name = f"rootfs:{directory}"
        if not directory or "\0" in directory:
            raise InvalidReference(f"{name!r} names no directory: write rootfs:DIR", argument="image")
        resolved = os.path.realpath(directory)
        if not os.path.isdir(resolved):
            what = "is not a directory" if os.path.lexists(resolved) else "does not exist"
            raise ImageNotFound(f"{name}: {resolved} {what}")
        if not os.access(resolved, os.X_OK):
            raise ImageNotFound(f"{name}: {resolved} may not be entered by this user")
        return cls(resolved, f"rootfs:{resolved}")

    @property
    def is_host(self) -> bool:
        """False (see ImageView)."""
        return False

    @property
    def image_id(self) -> None:
        """None (see ImageView)."""
        return None

    @property
    def chain(self) -> tuple[()]:
        """Nothing (see ImageView)."""
        return ()

    def lowers(self, *, user_namespace: bool) -> tuple[str, ...]:
        """Give the directory (see ImageView)."""
        return (self.directory,)

    def rootfs(self, snapshotter: Snapshotter, key: str) -> Rootfs:
        """Prepare the one snapshot of the directory (see ImageView)."""
        return Rootfs((snapshotter.prepare(key, (self.directory,)),))

    def close(self) -> None:
        """Nothing is held (see ImageView)."""
