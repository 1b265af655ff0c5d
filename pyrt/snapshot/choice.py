"""Which snapshotter shows a chain of lowers on this host: overlay where the kernel gives it, else a copy."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress

from pyrt.snapshot.overlay import Overlay
from pyrt.snapshot.probe import OverlayProbe
from pyrt.snapshot.snapshotter import Snapshotter

__all__ = ["Snapshotters"]


class Snapshotters:
    """The snapshotters of one engine; what they keep on disk lies in `directory`."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._overlays = {in_userns: Overlay(user_namespace=in_userns) for in_userns in (False, True)}
        self._probe = OverlayProbe()

    def overlay(self, *, user_namespace: bool) -> Overlay:
        """Give the kernel's overlay, for a container in a user namespace or not."""
        return self._overlays[user_namespace]

    @property
    def copying(self) -> Snapshotter:
        """What makes private copies."""
        from pyrt.snapshot.copying import Copying  # for hosts without overlay alone

        return Copying(self._directory)

    def refusal(self, lowers: Sequence[str], namespace: int | None) -> tuple[str, str] | None:
        """Give the first lower that the kernel makes no overlay of, and why; None where all will do.

        `namespace` is the descriptor of a user namespace that the overlay is made in. Raises SyscallError (op "chdir")
        for a lower that may not be entered there.
        """
        for lower in lowers:
            refusal = self._probe.refusal(lower, namespace)
            if refusal is not None:
                return lower, str(refusal)
        return None

    def clear(self, is_orphan: Callable[[str], bool]) -> None:
        """Remove the copies whose keys say that their owner is gone."""
        with suppress(FileNotFoundError):
            for key in os.listdir(self._directory):
                if is_orphan(key):
                    self.copying.remove(key)
