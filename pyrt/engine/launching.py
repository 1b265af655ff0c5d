"""How the verbs on containers come by what the engine has: each thing is built at its first use."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyrt.container import CreateOptions, HostFacts, KeptContainer
    from pyrt.engine.rooms import Rooms
    from pyrt.layer import Root
    from pyrt.runtime.cgroups import Cgroup
    from pyrt.runtime.exec import Executor
    from pyrt.runtime.link import Link

__all__ = ["Launchings"]


class Launchings:
    """The Launching of an engine's rooms."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def create(
        self, image: str, args: Sequence[str | os.PathLike[str]] | None, options: CreateOptions
    ) -> KeptContainer:
        """Make a container of an image's name (see Launching)."""
        from pyrt.container import read_wishes, run_options

        wishes = read_wishes(run_options(options))
        detached = self._rooms.detached
        view = self._rooms.views.open(image, pull=wishes.pull, platform=wishes.platform, on_progress=wishes.on_progress)
        return detached.create(view, args, options)

    def start(self, record: KeptContainer, before: Callable[[Link], None]) -> Link:
        """Start it below a monitor (see Launching)."""
        return self._rooms.detached.start(record, before)

    def facts(self) -> HostFacts:
        """Give what is known of this host (see Launching)."""
        return self._rooms.launcher.facts

    def executor(self, record: KeptContainer) -> Executor:
        """Give what starts further programs in a container (see Launching)."""
        return self._rooms.detached.executor(record)

    def open_running(self, record: KeptContainer) -> Root | None:
        """Give the files of a container that runs (see Launching)."""
        if record.has_run:
            return self._rooms.launcher.open_root(record.id)
        return self._rooms.detached.open_root(record)

    def user_namespace(self) -> int:
        """Give the user namespace that containers of this engine share (see Launching)."""
        return self._rooms.runtime.user_namespace()

    def cgroup(self, name: str, *, required: bool = True) -> Cgroup:
        """Give the cgroup of a monitor's container (see Launching)."""
        return self._rooms.runtime.layout.adopt(name, required=required)

    def sweep(self) -> None:
        """End what is left of monitors that were killed (see Launching)."""
        self._rooms.runtime.clear_leftovers()
