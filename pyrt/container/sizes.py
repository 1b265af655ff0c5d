"""Sizes as people write them: `256m`, `1.5g`, `64KiB`, in binary units whatever the spelling, as Docker has it."""

from __future__ import annotations

from pyrt.container.checks import fail, text

__all__ = ["parse_size", "size"]

_UNITS = {"": 0, "b": 0} | {
    letter + ending: shift
    for letter, shift in {"k": 10, "m": 20, "g": 30, "t": 40, "p": 50}.items()
    for ending in ("", "b", "i", "ib")
}
_MOST = 2**63 - 1


def parse_size(value: str, *, argument: str = "size") -> int:
    """Give the bytes that `NUMBER[.FRACTION][kmgtp][i][b]` stands for; a part of a byte is dropped.

    Raises InvalidOption.
    """
    lower = text(value, argument).lower()
    digits = lower.rstrip("bikmgtp")
    shift = _UNITS.get(lower[len(digits) :])
    whole, point, fraction = digits.removesuffix(" ").partition(".")
    if shift is None or not _is_number(whole) or (point and not _is_number(fraction)):
        fail(argument, f"{value!r} is not a size; write bytes, or a number and one of k, m, g, t and p: '256m'")
    found = (int(whole) << shift) + ((int(fraction) << shift) // 10 ** len(fraction) if point else 0)
    if found > _MOST:
        fail(argument, f"{value!r} is more than a size can be")
    return found


def size(value: object, argument: str) -> int:
    """Take an int of bytes or a size in text, and give bytes."""
    if isinstance(value, str):
        return parse_size(value, argument=argument)
    if not isinstance(value, int) or isinstance(value, bool):
        fail(argument, f"must be an int of bytes or a str like '256m', not {type(value).__name__}")
    if not 0 <= value <= _MOST:
        fail(argument, f"{value} is not between 0 and {_MOST} bytes")
    return value


def _is_number(digits: str) -> bool:
    return digits.isascii() and digits.isdigit() and len(digits) <= 20
