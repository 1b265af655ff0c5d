"""The filters of docker's events, as of `docker events --filter`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from pyrt.errors import InvalidOption

__all__ = ["EventFilters", "event_chooser"]

EventFilters = Mapping[str, str | Sequence[str]]


class Filtered(Protocol):
    """What filters look at: an Event."""

    @property
    def type(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def attributes(self) -> Mapping[str, str]: ...
    @property
    def scope(self) -> str: ...


Chooser = Callable[[Filtered], bool]


def event_chooser(filters: EventFilters | None) -> Chooser:
    """Give the function that says of an event whether all filters let it pass.

    Values of one filter are alternatives, but an event has to have all labels (moby, daemon/events/filter.go). A
    container, network or volume is meant by its id, its name, or the beginning of one; an image by its id or its name,
    with or without its tag, which also chooses the events of its containers. Raises InvalidOption.
    """
    choosers = []
    for name, given in (filters or {}).items():
        if name not in _CHOOSERS:
            known = ", ".join(sorted(_CHOOSERS))
            raise InvalidOption(f"there is no filter {name!r} of events, but {known}", argument="filters")
        choosers.append(_CHOOSERS[name](name, _values(name, given)))
    return lambda event: all(chooses(event) for chooses in choosers)


def _values(name: str, given: object) -> list[str]:
    values = [given] if isinstance(given, str) else list(given) if isinstance(given, Sequence) else []
    if not values or not all(isinstance(value, str) for value in values):
        raise InvalidOption(f"filter {name!r} takes texts, not {given!r}", argument="filters")
    return values


def _action(name: str, values: Sequence[str]) -> Chooser:
    """Choose by the action, or what it begins with: "health_status: healthy", "exec_create: ls"."""
    return lambda event: event.action in values or event.action.partition(":")[0] in values


def _type(name: str, values: Sequence[str]) -> Chooser:
    return lambda event: event.type in values


def _scope(name: str, values: Sequence[str]) -> Chooser:
    return lambda event: event.scope in values


def _object(name: str, values: Sequence[str]) -> Chooser:
    beginnings = tuple(values)

    def chooses(event: Filtered) -> bool:
        return event.type == name and (
            event.id.startswith(beginnings) or event.attributes.get("name", "").startswith(beginnings)
        )

    return chooses


def _image(name: str, values: Sequence[str]) -> Chooser:
    def chooses(event: Filtered) -> bool:
        image = event.attributes.get("name" if event.type == "image" else "image", "")
        known = {image, _without_tag(image)}
        if event.type == "image":
            known |= {event.id, _without_tag(event.id)}
        return not known.isdisjoint(values)

    return chooses


def _without_tag(name: str) -> str:
    head, colon, tag = name.partition("@")[0].rpartition(":")
    return head if colon and "/" not in tag and head != "sha256" else name.partition("@")[0]


def _label(name: str, values: Sequence[str]) -> Chooser:
    pairs = [value.partition("=") for value in values]

    def chooses(event: Filtered) -> bool:
        labels = event.attributes
        return all(key in labels and (not equals or labels[key] == value) for key, equals, value in pairs)

    return chooses


_CHOOSERS: Mapping[str, Callable[[str, Sequence[str]], Chooser]] = {
    "action": _action,
    "container": _object,
    "event": _action,
    "image": _image,
    "label": _label,
    "network": _object,
    "scope": _scope,
    "type": _type,
    "volume": _object,
}
