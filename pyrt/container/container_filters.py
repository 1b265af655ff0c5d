"""Docker's filters of containers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyrt.container.condition import Condition
from pyrt.container.kept import KeptStore
from pyrt.container.record import KeptContainer
from pyrt.errors import InvalidOption

__all__ = ["Chooser"]

_KEYS = frozenset({"id", "name", "label", "status", "exited", "ancestor", "before", "since"})
_STATUSES = frozenset({"created", "running", "paused", "restarting", "exited", "removing", "dead"})


@dataclass(frozen=True, slots=True)
class Chooser:
    """What was asked for, each key with its alternatives, and the moments of `before` and `since`."""

    wanted: Mapping[str, tuple[str, ...]]
    before_ns: int | None = None
    since_ns: int | None = None

    @classmethod
    def read(cls, filters: Mapping[str, Any], store: KeptStore) -> Chooser:
        """Read filters: text, or a list of texts, for each key. Raises InvalidOption, ContainerNotFound."""
        wanted = {}
        for key, given in filters.items():
            if key not in _KEYS:
                raise InvalidOption(f"{key!r} is none of {', '.join(sorted(_KEYS))}", argument="filters")
            values = (given,) if isinstance(given, str | int) else given
            wanted[key] = tuple(map(str, values))
        for status in wanted.get("status", ()):
            if status not in _STATUSES:
                raise InvalidOption(f"there is no status {status!r}", argument="filters")
        for code in wanted.get("exited", ()):
            if not code.isdecimal():
                raise InvalidOption(f"{code!r} is no exit code", argument="filters")
        try:
            for pattern in wanted.get("name", ()):
                re.compile(pattern)
        except re.error as error:
            raise InvalidOption(f"{pattern!r} is no regular expression: {error}", argument="filters") from error
        before = [store.find(name).created_ns for name in wanted.get("before", ())]
        since = [store.find(name).created_ns for name in wanted.get("since", ())]
        return cls(wanted, min(before, default=None), max(since, default=None))

    @property
    def names_status(self) -> bool:
        """Whether it says itself in which states the containers are to be."""
        return "status" in self.wanted or "exited" in self.wanted

    def takes(self, kept: KeptContainer, condition: Condition) -> bool:
        """Say whether a container is among those that were asked for."""
        if self.before_ns is not None and kept.created_ns >= self.before_ns:
            return False
        if self.since_ns is not None and kept.created_ns <= self.since_ns:
            return False
        return all(_fits(key, values, kept, condition) for key, values in self.wanted.items())


def _fits(key: str, values: tuple[str, ...], kept: KeptContainer, condition: Condition) -> bool:
    if key == "label":  # all of them, as Docker has it
        return all(_has_label(kept, each) for each in values)
    if key == "id":
        return any(kept.id.startswith(each) for each in values)
    if key == "name":
        return any(re.search(each, name) for each in values for name in (kept.name, f"/{kept.name}"))
    if key == "status":
        return condition.status in values
    if key == "exited":
        return condition.status == "exited" and str(condition.exit_code) in values
    if key == "ancestor":
        image_id = str(kept.image_id or "")
        return any(kept.image == each or (each and image_id.partition(":")[2].startswith(each)) for each in values)
    return True


def _has_label(kept: KeptContainer, asked: str) -> bool:
    name, equals, value = asked.partition("=")
    found = kept.labels.get(name)
    return found is not None and (not equals or found == value)
