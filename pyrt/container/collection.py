"""`engine.containers`: the containers that are kept, under docker-py's names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar, Unpack

from pyrt.container import life
from pyrt.container.container import Container
from pyrt.container.container_filters import Chooser
from pyrt.container.create_options import CreateOptions
from pyrt.container.keeping import Keeping
from pyrt.container.record import KeptContainer
from pyrt.errors import ContainerNotFound, WrongState

__all__ = ["ContainerCollection"]

ImageT = TypeVar("ImageT", covariant=True)
Args = Sequence[str | os.PathLike[str]]


class ContainerCollection(Generic[ImageT]):
    """The containers of an engine's root, of whichever process made them."""

    def __init__(self, keeping: Keeping[ImageT]) -> None:
        self._keeping = keeping

    def create(
        self, image: str, command: Args | str | None = None, **options: Unpack[CreateOptions]
    ) -> Container[ImageT]:
        """Make a container without starting it.

        `command` is a list of words, or text that is split as a shell would; None is the image's own. The options are
        those of Engine.run, and CreateOptions' own. Raises ImageNotFound, NameInUse, InvalidOption, Unsupported.
        """
        return Container(self._keeping, self._create(image, command, options))

    def run(self, image: str, command: Args | str | None = None, **options: Unpack[CreateOptions]) -> Container[ImageT]:
        """Make a container and start it; it goes on when this program ends (docker-py's `detach=True`).

        Raises what `create` raises, and CommandError for a program that cannot be executed: the container is there
        then, unless it was to be removed at its end.
        """
        container = self.create(image, command, **options)
        try:
            container.start()
        except BaseException:
            if options.get("auto_remove"):
                container.remove()
            raise
        return container

    def get(self, name: str) -> Container[ImageT]:
        """Give the container of a name, an id or the beginning of one. Raises ContainerNotFound."""
        kept = self._keeping.store.find(name)
        if life.is_over(self._keeping, kept):
            raise ContainerNotFound(f"{name}: there is no container of this name or id")
        return Container(self._keeping, kept)

    def list(
        self, *, all: bool = False, filters: Mapping[str, Any] | None = None, limit: int = -1
    ) -> list[Container[ImageT]]:
        """Give the containers that run, the newest first; `all`: whatever their state, `limit`: so many of all.

        `filters` are docker's: id, name (a regular expression), label, status, exited, ancestor, before, since.
        Raises InvalidOption for another.
        """
        chooser = Chooser.read(filters or {}, self._keeping.store)
        if all:
            life.clear(self._keeping)
        found: list[Container[ImageT]] = []
        for kept in self._keeping.store.all():
            if len(found) == limit:
                break
            condition = life.condition(self._keeping, kept)
            if not (all or limit > 0 or chooser.names_status or condition.is_running):
                continue
            if chooser.takes(kept, condition) and not life.is_over(self._keeping, kept):
                found.append(Container(self._keeping, kept))
        return found

    def prune(self, filters: Mapping[str, Any] | None = None) -> tuple[str, ...]:
        """Remove all containers that do not run; give their ids. `filters` are label and until."""
        chooser = Chooser.read(filters or {}, self._keeping.store)
        removed = []
        for container in self.list(all=True):
            condition = container.condition
            if condition.is_running or not chooser.takes(container._kept, condition):
                continue
            try:
                container.remove()
            except WrongState:
                continue
            removed.append(container.id)
        return tuple(removed)

    def _create(self, image: str, command: Args | str | None, options: CreateOptions) -> KeptContainer:
        if isinstance(command, str):
            import shlex

            command = shlex.split(command)
        kept = self._keeping.launching.create(image, command, options)
        self._keeping.emit("create", kept, {})
        return kept
