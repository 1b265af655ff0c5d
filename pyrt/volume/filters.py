"""Docker's filters of volumes: dangling, driver, label, label!, name."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence

from pyrt.errors import InvalidOption
from pyrt.volume.record import VolumeRecord

__all__ = ["Filters", "chooser", "is_true"]

Filters = Mapping[str, str | bool | Sequence[str]]
Chooser = Callable[[VolumeRecord], bool]
_TRUE, _FALSE = ("true", "1"), ("false", "0")


def chooser(filters: Filters | None, used: Container[str]) -> Chooser:
    """Give the function that says of a volume whether all filters let it pass; `used` are the names in use.

    Values of one filter are alternatives, but for labels, all of which a volume must have. Raises InvalidOption.
    """
    choosers = []
    for name, given in (filters or {}).items():
        if name == "dangling":
            choosers.append(_dangling(is_true(name, given), used))
        else:
            choosers.append(_CHOOSERS[name](_values(name, given)))
    return lambda volume: all(chooses(volume) for chooses in choosers)


def is_true(name: str, given: object) -> bool:
    """Read a filter that is true or false. Raises InvalidOption."""
    value = _values(name, given)[-1]
    if value not in _TRUE + _FALSE:
        raise InvalidOption(f"{name} is true or false, not {value!r}", argument="filters")
    return value in _TRUE


def _values(name: str, given: object) -> list[str]:
    if isinstance(given, bool):
        return [str(given).lower()]
    values = [given] if isinstance(given, str) else list(given) if isinstance(given, list | tuple) else []
    if not values or not all(isinstance(value, str) for value in values):
        raise InvalidOption(f"filter {name!r} takes texts, not {given!r}", argument="filters")
    return values


def _dangling(wanted: bool, used: Container[str]) -> Chooser:
    return lambda volume: (volume.name not in used) == wanted


def _driver(values: list[str]) -> Chooser:
    return lambda volume: volume.driver in values


def _name(values: list[str]) -> Chooser:
    """Docker takes a part of a name for one."""
    return lambda volume: any(value in volume.name for value in values)


def _has(volume: VolumeRecord, pair: str) -> bool:
    name, equals, value = pair.partition("=")
    return name in volume.labels and (not equals or volume.labels[name] == value)


def _label(values: list[str]) -> Chooser:
    return lambda volume: all(_has(volume, pair) for pair in values)


def _no_label(values: list[str]) -> Chooser:
    return lambda volume: not any(_has(volume, pair) for pair in values)


_CHOOSERS: dict[str, Callable[[list[str]], Chooser]] = {
    "driver": _driver,
    "label": _label,
    "label!": _no_label,
    "name": _name,
}
