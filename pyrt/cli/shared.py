"""What the verbs on images have in common: the engine they work on, and options that several of them have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pyrt.errors import InvalidOption

if TYPE_CHECKING:
    from pyrt.engine import Engine

__all__ = ["filters", "format_option", "opened", "read_filters"]

F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def opened(root: str | None) -> Iterator[Engine]:
    """Open the engine that `pyrt --root` names, for as long as a verb takes."""
    from pyrt.engine import Engine

    with Engine(root) as engine:
        yield engine


def filters(verb: F) -> F:
    """Add docker's `--filter`."""
    option = click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Only what matches.")
    return option(verb)


def format_option(verb: F) -> F:
    """Add docker's `--format`."""
    text = "A table, `json`, or a Go template such as `{{.ID}}`."
    return click.option("--format", "form", metavar="FORMAT", help=text)(verb)


def read_filters(given: Sequence[str]) -> dict[str, list[str]]:
    """Read `key=value` filters; those of one key are alternatives. Raises InvalidOption."""
    found: dict[str, list[str]] = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not equals:
            raise InvalidOption(f"{each!r}: write KEY=VALUE", argument="--filter")
        found.setdefault(key.strip().lower(), []).append(value.strip())
    return found
