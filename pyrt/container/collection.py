"""`engine.containers`: the containers that are kept, under docker-py's names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar, Unpack, overload

from pyrt.container import life
from pyrt.container.container import Container
from pyrt.container.create_options import CreateOptions
from pyrt.container.keeping import Keeping
from pyrt.container.output import output_of
from pyrt.container.record import KeptContainer
from pyrt.errors import ContainerNotFound, PyrtError, WrongState

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

    @overload
    def run(
        self, image: str, command: Args | str | None = None, *, detach: Literal[True], **options: Unpack[CreateOptions]
    ) -> Container[ImageT]: ...

    @overload
    def run(
        self,
        image: str,
        command: Args | str | None = None,
        *,
        detach: Literal[False] = False,
        stdout: bool = True,
        stderr: bool = False,
        **options: Unpack[CreateOptions],
    ) -> bytes: ...

    def run(
        self,
        image: str,
        command: Args | str | None = None,
        *,
        detach: bool = False,
        stdout: bool = True,
        stderr: bool = False,
        **options: Unpack[CreateOptions],
    ) -> Container[ImageT] | bytes:
        """Make a container, start it, wait for its end and give its output, `stdout` and `stderr` as they came.

        With `detach` it gives the Container instead, which goes on when this program ends. `remove` (default False)
        removes it at its end. Raises what `create` raises; CommandError for a program that cannot be executed: the
        container is there then, unless it was to be removed; and, without `detach`, ProcessFailed for an exit code that
        is not 0.
        """
        is_removed = bool(options.get("remove"))
        if is_removed and detach:
            options["auto_remove"] = True
        container = self.create(image, command, **options)
        try:
            if not detach:
                return output_of(container, stdout=stdout, stderr=stderr)
            container.start()
        except BaseException:
            if detach and options.get("auto_remove"):
                container.remove()
            raise
        finally:
            if is_removed and not detach:
                container.remove(force=True)
        return container

    def boot(
        self, on_failure: Callable[[Container[ImageT], PyrtError], object] | None = None
    ) -> list[Container[ImageT]]:
        """Start what is to run again after the machine came up, and give it: see `restart_policy`.

        `always` also where it was stopped before, `unless-stopped` where it was not. `on_failure` is told what cannot
        be started; without it the first of these errors is raised, once all the others have been started.
        """
        from pyrt.container.boot import starts_at_boot

        started, failed = [], []
        for kept in reversed(self._keeping.store.all()):
            if not starts_at_boot(self._keeping, kept):
                continue
            container = Container(self._keeping, kept)
            try:
                container.start()
            except PyrtError as error:
                failed.append((container, error))
            else:
                started.append(container)
        for container, why in failed:
            if on_failure is None:
                raise why
            on_failure(container, why)
        return started

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
        from pyrt.container.container_filters import Chooser

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
        from pyrt.container.container_filters import Chooser

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
