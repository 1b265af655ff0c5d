"""The contract of a snapshotter.

A snapshotter turns a chain of directories, the lowers, into the mount of a private and writable view of the tree that
they make together, and says so as a value: it never mounts. What is written through one view changes neither a lower
nor another view.

A lower is in overlay form: an entry hides those of the same name in the lowers below it, unless all of them are
directories, which are merged; a character device 0/0 (a whiteout) only hides; a directory with the attribute
trusted.overlay.opaque or user.overlay.opaque is not merged with those below it.

A view is active under a key, chosen by the caller (a container's id). `prepare` gives one Mount for a key; a key may
have several views, each at a destination of its own. What the view needs on disk exists when `prepare` returns, and is
complete: an interrupted or failed `prepare` leaves nothing. `remove` ends a key with all that belongs to it; a key that
is not there is no error, so that the way back from any failure is the same call.

The content of the view is that of the lowers themselves. File systems that are mounted below them are not in it; there
the directory is as it was before the mount. Owners, modes, times, links, sparse files, special files and extended
attributes are the lowers' as far as the privileges allow. A lower that changes while it is in use gives undefined
content, never something from outside the lowers.

Any number of threads and processes may use one snapshotter, with different keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pyrt.oci.spec import Mount

__all__ = ["Snapshotter"]


class Snapshotter(Protocol):
    """Gives writable views of directories, as Mounts."""

    @property
    def name(self) -> str:
        """What the user calls this snapshotter."""

    def prepare(self, key: str, lowers: Sequence[str], destination: str = "") -> Mount:
        """Make the view of `lowers`, the topmost first, for `key`, to be mounted at `destination` ("": the root).

        Raises NameInUse where the key has this destination already, InvalidOption for a key that is no plain name or
        lowers that are not 1 to 500 absolute paths, SyscallError where the host fails (no space, no such directory).
        """

    def remove(self, key: str) -> None:
        """End all views of `key` and free what they hold. The mounts must have ended before. Raises SyscallError."""
