"""The contract of a driver: where the files of a volume are.

A store keeps the names, options and labels of volumes, and gives each a directory of its own. A driver looks at the
options that a volume was made with and says what a container is to mount. It makes nothing, mounts nothing and keeps
nothing: a Mount is a value, and the container's own process mounts it where nobody else sees it. So two containers of
one volume see the same files as far as the kernel gives both the same file system: a directory and a network file
system do, a tmpfs is a new one for each.

A driver may be used by any number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pyrt.oci.spec import Mount

__all__ = ["Driver"]


class Driver(Protocol):
    """Says what a volume's files are."""

    @property
    def name(self) -> str:
        """What `driver=` calls it."""

    def check(self, options: Mapping[str, str]) -> None:
        """Refuse options that it does not take, before a volume is made with them.

        Raises InvalidOption, and Unsupported for what would take a program of the host.
        """

    def is_own(self, options: Mapping[str, str]) -> bool:
        """Say whether the files are in the directory that the store gives, and so the store's to fill and copy."""

    def mount(
        self, directory: str, options: Mapping[str, str], destination: str, *, in_user_namespace: bool = False
    ) -> Mount:
        """Give what a container mounts at `destination`; `directory` is the volume's own.

        Raises InvalidOption where the options name what is not there, Unsupported for what the kernel mounts in no user
        namespace.
        """
