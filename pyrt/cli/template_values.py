"""Values as Go's text/template prints, compares and names them: those of JSON, and of Go's typed nil."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["MAX_WIDTH", "Null", "as_json", "go_type", "printed", "shown", "sprintf"]

MAX_WIDTH = 1_000_000  # Go's
_VERB = re.compile(r"%([-+# 0]*)(\d*)(?:\.(\d*))?(.?)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Null:
    """A map or list that is null in JSON, and empty in a template: `text` is how Go prints it."""

    text: str

    def __getitem__(self, key: object) -> None:
        return None

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[Any]:
        return iter(())


def as_json(value: Any) -> str:
    """Write a value as docker's `json` does."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=lambda null: None)


def printed(value: Any) -> str:
    """Write the value of an action."""
    return "<no value>" if value is None else shown(value)


def shown(value: Any) -> str:
    """Write a value as Go's `%v` does."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)
    if isinstance(value, Null):
        return value.text
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{shown(value[key])}' for key in sorted(value))}]"
    if isinstance(value, (list, tuple)):
        return f"[{' '.join(map(shown, value))}]"
    return str(value)


def go_type(value: Any) -> str:
    """Name the type of a value."""
    if isinstance(value, (list, tuple)):
        return "[]interface {}"
    if isinstance(value, (Mapping, Null)):
        return "map[string]interface {}"
    names = {bool: "bool", int: "int", float: "float64", str: "string"}
    return names.get(type(value), "interface {}")


def sprintf(form: str, values: Sequence[Any]) -> str:
    """Fill in Go's verbs: v s d q t x X f e g c T, with flags, width and precision."""
    rest = list(values)

    def filled(match: re.Match[str]) -> str:
        flags, width, precision, verb = match.groups()
        if verb in ("%", ""):
            return verb or "%!(NOVERB)"
        if not rest:
            return f"%!{verb}(MISSING)"
        value = rest.pop(0)
        if max(_whole(width), _whole(precision)) > MAX_WIDTH:
            return "%!(BADWIDTH)"
        text = _verb(verb, value, precision, "#" in flags)
        if text is None:
            return f"%!{verb}({go_type(value)}={shown(value)})"
        return _padded(text, flags, _whole(width), isinstance(value, (int, float)))

    text = _VERB.sub(filled, form)
    return text if not rest else f"{text}%!(EXTRA {', '.join(f'{go_type(each)}={shown(each)}' for each in rest)})"


def _verb(verb: str, value: Any, precision: str | None, is_sharp: bool) -> str | None:
    """Write a value by a verb, None where the verb is not for it."""
    if verb == "v":
        return shown(value)
    if verb == "T":
        return go_type(value)
    if isinstance(value, str):
        short = value if precision is None else value[: _whole(precision)]
        hexadecimal = value.encode("utf-8", "surrogateescape").hex()
        quoted = f"`{value}`" if is_sharp and "`" not in value else json.dumps(value, ensure_ascii=False)
        return {"s": short, "q": quoted, "x": hexadecimal, "X": hexadecimal.upper()}.get(verb)
    if isinstance(value, bool):
        return shown(value) if verb == "t" else None
    if isinstance(value, int) and verb in "dxXobc":
        return format(value, verb) if verb != "c" else chr(value) if 0 <= value < 0x110000 else "\ufffd"
    if isinstance(value, float) and verb in "feg":
        return format(value, f".{6 if precision is None else _whole(precision)}{verb}") if verb != "g" else shown(value)
    return f"[{' '.join(map(shown, value))}]" if isinstance(value, (list, tuple)) and verb == "s" else None


def _padded(text: str, flags: str, width: int, is_number: bool) -> str:
    if is_number and "+" in flags and not text.startswith("-"):
        text = f"+{text}"
    if "-" in flags:
        return text.ljust(width)
    return text.zfill(width) if "0" in flags and is_number else text.rjust(width)


def _whole(digits: str | None) -> int:
    return int(digits[:9]) if digits else 0
