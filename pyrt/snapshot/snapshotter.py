"""The contract of a snapshotter.

A snapshotter turns a directory, the lower, into the mount of a private and writable view of it, and says so as a
value: it never mounts. What is written through one view changes neither the lower nor another view.

A view is active under a key, chosen by the caller (a container's id). `prepare` gives the Mount of one lower for a key;
a key may have several lowers, each at a destination of its own. What the view needs on disk exists when `prepare`
returns, and is complete: an interrupted or failed `prepare` leaves nothing. `remove` ends a key with all that belongs
to it; a key that is not there is no error, so that the way back from any failure is the same call.

The content of the view is that of the lower itself. File systems that are mounted below it are not in it; there the
directory is as it was before the mount. Owners, modes, times, links, sparse files, special files and extended
attributes are the lower's as far as the privileges allow. A lower that changes while it is in use gives undefined
content, never something from outside the lower.

Any number of threads and processes may use one snapshotter, with different keys.
"""

from __future__ import annotations

from typing import Protocol

from pyrt.oci.spec import Mount

__all__ = ["Snapshotter"]


class Snapshotter(Protocol):
    """Gives writable views of directories, as Mounts."""

    @property
    def name(self) -> str:
        """What the user calls this snapshotter."""

    def prepare(self, key: str, lower: str, destination: str = "") -> Mount:
        """Make the view of the directory `lower` for `key`, to be mounted at `destination` ("": the root itself).

        Raises NameInUse where the key has this destination already, InvalidOption for a key that is no plain name or a
        lower that is no absolute path, SyscallError where the host fails (no space, no such directory).
        """

    def remove(self, key: str) -> None:
        """End all views of `key` and free what they hold. The mounts must have ended before. Raises SyscallError."""
