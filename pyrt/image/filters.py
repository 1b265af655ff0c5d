"""Docker's filters of images: dangling, label, reference, before, since, until."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence

from pyrt.errors import InvalidOption
from pyrt.image.inspect import created_seconds, seconds
from pyrt.image.record import StoredImage
from pyrt.image.store import ImageStore

__all__ = ["Filters", "chooser"]

Filters = Mapping[str, str | bool | Sequence[str]]
Chooser = Callable[[StoredImage], bool]
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
_AGO = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s)")


def chooser(store: ImageStore, filters: Filters | None, *, known: Sequence[str]) -> Chooser:
    """Give the function that says of an image whether all filters let it pass; values of one filter are alternatives.

    `known` are the filters that this verb has. Raises InvalidOption, and ImageNotFound for an image in before or since.
    """
    choosers = []
    for name, given in (filters or {}).items():
        if name not in known:
            raise InvalidOption(f"there is no filter {name!r} here, but {', '.join(known)}", argument="filters")
        choosers.append(_CHOOSERS[name](store, _values(name, given)))
    return lambda image: all(chooses(image) for chooses in choosers)


def _values(name: str, given: object) -> list[str]:
    if isinstance(given, bool):
        return [str(given).lower()]
    values = [given] if isinstance(given, str) else list(given) if isinstance(given, Sequence) else []
    if not values or not all(isinstance(value, str) for value in values):
        raise InvalidOption(f"filter {name!r} takes texts, not {given!r}", argument="filters")
    return values


def _dangling(store: ImageStore, values: list[str]) -> Chooser:
    if not set(values) <= {"true", "false", "1", "0"}:
        raise InvalidOption(f"dangling is true or false, not {values[0]!r}", argument="filters")
    wanted = {value in ("true", "1") for value in values}
    return lambda image: (not image.tags) in wanted


def _label(store: ImageStore, values: list[str]) -> Chooser:
    pairs = [value.partition("=") for value in values]

    def has_all(image: StoredImage) -> bool:
        labels = store.document(image).config.labels
        return all(name in labels and (not equals or labels[name] == value) for name, equals, value in pairs)

    return has_all


def _reference(store: ImageStore, values: list[str]) -> Chooser:
    return lambda image: any(name.reference.matches(pattern) for name in image.names for pattern in values)


def _created(store: ImageStore, value: str) -> int:
    return created_seconds(store.document(store.find(value)))


def _before(store: ImageStore, values: list[str]) -> Chooser:
    limit = min(_created(store, value) for value in values)
    return lambda image: created_seconds(store.document(image)) < limit


def _since(store: ImageStore, values: list[str]) -> Chooser:
    limit = max(_created(store, value) for value in values)
    return lambda image: created_seconds(store.document(image)) > limit


def _until(store: ImageStore, values: list[str]) -> Chooser:
    limit = min(_moment(value) for value in values)
    return lambda image: created_seconds(store.document(image)) <= limit


def _moment(text: str) -> float:
    """Read a time: RFC 3339, seconds since 1970, or how long ago (`24h`, `1h30m`)."""
    if pieces := _AGO.findall(text) if _AGO.sub("", text) == "" else []:
        return time.time() - sum(float(count) * _UNITS[unit] for count, unit in pieces)
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text)
    moment = seconds(text)
    if not moment:
        raise InvalidOption(f"{text!r} is no time: write 24h, 2026-01-31T12:00:00Z or seconds", argument="filters")
    return moment


_CHOOSERS: dict[str, Callable[[ImageStore, list[str]], Chooser]] = {
    "before": _before,
    "dangling": _dangling,
    "label": _label,
    "reference": _reference,
    "since": _since,
    "until": _until,
}
