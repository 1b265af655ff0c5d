"""`pyrt create` and `pyrt run -d`: containers that outlive the command.

Docker's exit codes: for `run` those of `pyrt run`; for `create` 125 for a flag that is none, else 1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pyrt.cli.main import REFUSED, guarded
from pyrt.cli.request import Request, read_request
from pyrt.cli.run import pulling, terminal_size
from pyrt.engine import Engine
from pyrt.errors import InvalidOption

if TYPE_CHECKING:
    from pyrt.container import Container
    from pyrt.image import Image

__all__ = ["create", "detach"]


def create(words: Sequence[str], root: str | None = None) -> int:
    """Make what the words after `pyrt create` ask for, and give the exit code."""
    asked: list[Request] = []

    def read() -> int:
        asked.append(read_request(words, "create"))
        return 0

    if code := guarded(read):
        return code
    request = asked[0]
    if request.help:
        from pyrt.cli.help import show

        show("create")
        return 0
    return guarded(lambda: _make(request, root), REFUSED)


def _make(request: Request, root: str | None) -> int:
    with Engine(root) as engine, _cidfile(request.cidfile) as note:
        container = _create(engine, request)
        os.write(note, container.id.encode())
    print(container.id)
    return 0


def detach(request: Request, root: str | None = None) -> int:
    """Run what a request asks for without waiting for its end, and give the exit code."""
    with Engine(root) as engine, _cidfile(request.cidfile) as note:
        container = _create(engine, request)
        os.write(note, container.id.encode())
        try:
            container.start()
        except BaseException:
            if request.create_options.get("auto_remove"):
                container.remove()
            raise
    print(container.id)
    return 0


def _create(engine: Engine, request: Request) -> Container[Image]:
    with pulling(request) as on_progress:
        options = request.create_options
        options["on_progress"] = on_progress
        if request.tty:
            options["console_size"] = terminal_size()
        return engine.containers.create(request.image, request.args, **options)


@contextmanager
def _cidfile(path: str | None) -> Iterator[int]:
    """Give a new file for an id, which goes again where none is written; without a path what takes it is nothing."""
    if path is None:
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            yield null
        finally:
            os.close(null)
        return
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise InvalidOption(f"{path} cannot be made: {error.strerror}", argument="--cidfile") from error
    try:
        yield file
    finally:
        if not os.fstat(file).st_size:
            with suppress(FileNotFoundError):
                os.unlink(path)
        os.close(file)
