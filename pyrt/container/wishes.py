"""What the options ask for beside the container itself: how to come by its image, and whether it stays."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from pyrt.container.checks import boolean, fail, text
from pyrt.container.options import PullPolicy, RunOptions
from pyrt.errors import InvalidArgument

__all__ = ["Wishes", "read_name", "read_wishes"]

_POLICIES = ("always", "missing", "never")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")  # docker's


@dataclass(frozen=True, slots=True)
class Wishes:
    """When to pull, for which platform, who is told; whether the container goes at its end, and else its name."""

    pull: PullPolicy = "missing"
    platform: str | None = None
    on_progress: Callable[[Any], object] | None = None
    remove: bool = True
    name: str | None = None


def read_wishes(options: RunOptions) -> Wishes:
    """Read and check them. Raises InvalidOption."""
    given = {name: value for name in Wishes.__slots__ if (value := options.get(name)) is not None}
    if given.get("pull", "missing") not in _POLICIES:
        fail("pull", f"{given['pull']!r} is none of {', '.join(_POLICIES)}")
    if "platform" in given:
        from pyrt.oci.platform import Platform  # which most runs do not name

        try:
            Platform.parse(text(given["platform"], "platform"))
        except InvalidArgument as error:
            fail("platform", str(error))
    if not callable(given.get("on_progress", fail)):
        fail("on_progress", f"{given['on_progress']!r} cannot be called")
    boolean(given.get("remove", True), "remove")
    if "name" in given:
        read_name(given["name"])
        if given.get("remove", True):
            fail("name", "only a container that is kept has one: say remove=False too")
    return Wishes(**cast(Any, given))


def read_name(value: object) -> str:
    """Check the name of a container. Raises InvalidOption."""
    name = text(value, "name").removeprefix("/")
    if not _NAME.fullmatch(name):
        fail("name", f"{name!r} is none: 2 or more letters, digits, `_`, `.`, `-`, the first a letter or digit")
    return name
