"""The words of the command: the image's entrypoint and command under what the caller gives."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pyrt.container.checks import fail, strings, text
from pyrt.oci.config import ImageConfig

__all__ = ["combine"]


def combine(config: ImageConfig, args: Sequence[str | os.PathLike[str]] | None, entrypoint: object) -> tuple[str, ...]:
    """Give the argument vector as Docker puts it together.

    `args` stand in the place of the image's command. An `entrypoint` (a list, or text split as a shell would) stands in
    the place of the image's and takes the image's command away too; "" and [] mean none. Raises InvalidOption.
    """
    first = config.entrypoint if entrypoint is None else _words(entrypoint)
    rest = config.cmd if entrypoint is None else ()
    found = first + (rest if args is None else _arguments(args))
    if not found:
        fail("args", "there is no command: the image has none and none was given")
    if not found[0]:
        fail("args", "the name of the program is empty")
    return found


def _arguments(args: object) -> tuple[str, ...]:
    if isinstance(args, str | bytes):
        fail("args", f"must be a list of words, not {args!r}; shlex.split() makes one of a command line")
    if not isinstance(args, Sequence):
        fail("args", f"must be a list of words, not {type(args).__name__}")
    return tuple([text(os.fspath(word) if isinstance(word, os.PathLike) else word, "args") for word in args])


def _words(entrypoint: object) -> tuple[str, ...]:
    if not isinstance(entrypoint, str):
        return strings(entrypoint, "entrypoint")
    import shlex

    try:
        return tuple(shlex.split(text(entrypoint, "entrypoint")))
    except ValueError as error:
        fail("entrypoint", f"{entrypoint!r} cannot be split into words: {error}")
