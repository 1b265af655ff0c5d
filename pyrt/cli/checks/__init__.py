"""What this host can give a container, found out by trying.

Takes nothing but the engine's directory, gives a Check for each thing that a container may need. Raises nothing: what
fails is a Check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from pyrt.cli.checks import cgroups, container, files, kernel, namespaces, rights
from pyrt.cli.checks.check import Check, missing
from pyrt.errors import PyrtError

__all__ = ["CONTAINER", "Check", "examine"]

CONTAINER = container.NAME


def examine(root: Path) -> tuple[Check, ...]:
    """Try everything; the last check is a container of `host:` that runs."""
    sections: tuple[tuple[str, Callable[[], Iterator[Check]]], ...] = (
        ("kernel", kernel.examine),
        ("namespaces", namespaces.examine),
        ("file systems", files.examine),
        ("cgroups", cgroups.examine),
        ("rights", rights.examine),
        (CONTAINER, lambda: container.examine(root)),
    )
    return tuple(check for name, section in sections for check in _guarded(name, section))


def _guarded(name: str, section: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    try:
        yield from section()
    except (PyrtError, OSError) as error:
        yield missing(name, str(error))
