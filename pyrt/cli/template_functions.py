"""The functions of a template: text/template's own, and docker's for text."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pyrt.cli.template_values import MAX_WIDTH, Null, as_json, go_type, shown, sprintf

__all__ = ["FUNCTIONS", "LAZY", "TITLES", "CallFailed", "Function"]


class CallFailed(Exception):
    """A function cannot do this with its operands."""


@dataclass(frozen=True, slots=True)
class Function:
    """What is called, and the kinds of its operands (any, string, int, []string); those with a star may be many."""

    run: Callable[..., Any]
    kinds: tuple[str, ...]

    @property
    def is_open(self) -> bool:
        """Whether there may be any number of its last operand."""
        return bool(self.kinds) and self.kinds[-1].startswith("*")

    def kind(self, at: int) -> str:
        """The kind of one operand."""
        return self.kinds[min(at, len(self.kinds) - 1)].lstrip("*")

    def miscounted(self, count: int) -> str | None:
        """Say what is wrong with a number of operands."""
        wanted = len(self.kinds) - self.is_open
        if count == wanted or (self.is_open and count > wanted):
            return None
        return f"want {'at least ' if self.is_open else ''}{wanted} got {count}"


def _length(value: Any) -> int:
    if value is None:
        raise CallFailed("reflect: call of reflect.Value.Type on zero Value")
    if isinstance(value, str):
        return len(_octets(value))
    if not isinstance(value, (Mapping, Null, list, tuple)):
        raise CallFailed(f"len of type {go_type(value)}")
    return len(value)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if value is None:
            raise CallFailed("index of untyped nil")
        if isinstance(value, (Mapping, Null)):
            if not isinstance(key, str):
                raise CallFailed(f"value has type {go_type(key)}; should be string")
            value = value[key] if isinstance(value, Null) else value.get(key, "")
        elif isinstance(value, (str, list, tuple)):
            whole = _octets(value) if isinstance(value, str) else value
            value = whole[_position(key, len(whole) - 1)]
        else:
            raise CallFailed(f"can't index item of type {go_type(value)}")
    return value


def _slice(value: Any, *bounds: Any) -> Any:
    if not isinstance(value, (str, list, tuple)):
        raise CallFailed("slice of untyped nil" if value is None else f"can't slice item of type {go_type(value)}")
    if len(bounds) > 3:
        raise CallFailed(f"too many slice indexes: {len(bounds)}")
    whole = _octets(value) if isinstance(value, str) else value
    limits = [_position(each, len(whole)) for each in bounds]
    if limits != sorted(limits):
        raise CallFailed(f"invalid slice index: {limits[0]} > {limits[1]}")
    part = whole[slice(*limits[:2])]
    return part.decode("utf-8", "surrogateescape") if isinstance(part, bytes) else part


def _position(key: Any, last: int) -> int:
    if not isinstance(key, int) or isinstance(key, bool):
        raise CallFailed(f"cannot index slice/array with type {go_type(key)}")
    if not 0 <= key <= last:
        raise CallFailed(f"index out of range: {key}")
    return key


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _equal(first: Any, *others: Any) -> bool:
    if not others:
        raise CallFailed("missing argument for comparison")
    found = False
    for each in others:
        for value in (first, each):
            if isinstance(value, (Mapping, Null, list, tuple)):
                raise CallFailed(f"non-comparable type {shown(value)}: {go_type(value)}")
        if None not in (first, each) and type(first) is not type(each):
            raise CallFailed("incompatible types for comparison")
        found = found or first == each
    return found


def _ordered(compare: Callable[[Any, Any], bool]) -> Function:
    def run(first: Any, second: Any) -> bool:
        if type(first) is not type(second):
            raise CallFailed("incompatible types for comparison")
        if not isinstance(first, (int, float, str)) or isinstance(first, bool):
            raise CallFailed("invalid type for comparison")
        return compare(first, second)

    return Function(run, ("any", "any"))


def _pad(text: str, before: int, after: int) -> str:
    if min(before, after) < 0:
        raise CallFailed("strings: negative Repeat count")
    if max(before, after) > MAX_WIDTH:
        raise CallFailed(f"more than {MAX_WIDTH} blanks")
    return " " * before + text + " " * after


def _truncate(text: str, length: int) -> str:
    if length < 0:
        raise CallFailed(f"runtime error: slice bounds out of range [:{length}]")
    return text[:length]


def _print(*values: Any) -> str:
    """Write values with a blank between two that are no strings, as Go's Sprint does."""
    text = ""
    for at, value in enumerate(values):
        between = at and not isinstance(value, str) and not isinstance(values[at - 1], str)
        text += f"{' ' if between else ''}{shown(value)}"
    return text


def _title(text: str) -> str:
    return re.sub(r"(?<!\w)\w", lambda match: match[0].upper(), text)


LAZY = {"and": False, "or": True}
"""Functions that end with the first operand which is as true as this; what comes after it is not looked at."""

FUNCTIONS: dict[str, Function] = {
    "and": Function(lambda *values: values[-1], ("any", "*any")),
    "or": Function(lambda *values: values[-1], ("any", "*any")),
    "not": Function(operator.not_, ("any",)),
    "eq": Function(_equal, ("any", "*any")),
    "ne": Function(lambda first, second: not _equal(first, second), ("any", "any")),
    "lt": _ordered(operator.lt),
    "le": _ordered(operator.le),
    "gt": _ordered(operator.gt),
    "ge": _ordered(operator.ge),
    "len": Function(_length, ("any",)),
    "index": Function(_index, ("any", "*any")),
    "slice": Function(_slice, ("any", "*any")),
    "print": Function(_print, ("*any",)),
    "printf": Function(lambda form, *values: sprintf(form, values), ("string", "*any")),
    "println": Function(lambda *values: " ".join(map(shown, values)) + "\n", ("*any",)),
    "json": Function(as_json, ("any",)),
    "join": Function(lambda values, separator: separator.join(values), ("[]string", "string")),
    "split": Function(lambda text, by: text.split(by) if by else [*text], ("string", "string")),
    "lower": Function(str.lower, ("string",)),
    "upper": Function(str.upper, ("string",)),
    "title": Function(_title, ("string",)),
    "pad": Function(_pad, ("string", "int", "int")),
    "truncate": Function(_truncate, ("string", "int")),
}

_SAME = Function(lambda text, *rest: text, ("any", "*any"))
TITLES: dict[str, Function] = {
    **FUNCTIONS,
    **dict.fromkeys(("join", "split", "lower", "upper", "title", "truncate"), _SAME),
    "json": Function(lambda value: value if isinstance(value, str) else "", ("any",)),
}
"""Those of a table's first line, which leave titles as they are."""
