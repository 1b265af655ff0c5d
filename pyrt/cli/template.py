"""Go's text/template, as far as docker's `--format` is used: fields, pipes, if, range, with, and docker's functions.

Takes a template and a document (dicts, lists, plain values), gives text. An unknown field is an InvalidOption, as
docker refuses it, so that a misspelt name does not look like an empty value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyrt.errors import InvalidOption

__all__ = ["Template", "compile_template"]

_ACTION = re.compile(r"\{\{(-?)\s*((?:\"(?:\\.|[^\"\\])*\"|`[^`]*`|[^\"`}]|\}(?!\}))*?)\s*(-?)\}\}", re.DOTALL)
_WORD = re.compile(r'\s*("(?:\\.|[^"\\])*"|`[^`]*`|\$|-?\d+|\(|\)|\||(?:\.[\w]*)+|\w+|\S)')


@dataclass(slots=True)
class _Block:
    """A part of a template: text, a pipeline's value, or if/range/with with what is in it and after its else."""

    kind: str
    text: str = ""
    words: list[str] = field(default_factory=list)
    body: list[_Block] = field(default_factory=list)
    otherwise: list[_Block] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template."""

    blocks: list[_Block]

    def render(self, document: Any) -> str:
        """Fill it in. Raises InvalidOption for a field that is not there, or a function that is not known."""
        return "".join(_render(self.blocks, document, document))


def compile_template(text: str) -> Template:
    """Read a template; `\\t` and `\\n` outside of actions mean what they mean in Go's strings. Raises InvalidOption."""
    stack: list[tuple[_Block, list[_Block]]] = []
    blocks: list[_Block] = []
    current, at, trim = blocks, 0, False
    for match in [*_ACTION.finditer(text), None]:
        literal = text[at : match.start() if match else len(text)].replace("\\t", "\t").replace("\\n", "\n")
        literal = literal.lstrip() if trim else literal
        literal = literal.rstrip() if match and match[1] else literal
        if literal:
            if match is None and "{{" in literal:
                raise _wrong(text, "an action has no end: write {{…}}")
            current.append(_Block("text", literal))
        if match is None:
            break
        at, trim = match.end(), bool(match[3])
        words = _WORD.findall(match[2])
        keyword = words[0] if words else ""
        if keyword in ("if", "range", "with"):
            block = _Block(keyword, words=words[1:])
            current.append(block)
            stack.append((block, current))
            current = block.body
        elif keyword in ("else", "end"):
            if not stack:
                raise _wrong(text, f"{keyword} without if, range or with")
            current = stack[-1][0].otherwise if keyword == "else" else stack.pop()[1]
        elif words and not match[2].startswith("/*"):
            current.append(_Block("value", words=words))
    if stack:
        raise _wrong(text, f"{stack[-1][0].kind} has no end")
    return Template(blocks)


def _render(blocks: Sequence[_Block], dot: Any, root: Any) -> Iterator[str]:
    for block in blocks:
        if block.kind == "text":
            yield block.text
            continue
        value = _pipeline(block.words, dot, root)
        if block.kind == "value":
            yield _shown(value)
        elif block.kind == "range":
            items = list(value.values()) if isinstance(value, Mapping) else list(value or ())
            for item in items:
                yield from _render(block.body, item, root)
            if not items:
                yield from _render(block.otherwise, dot, root)
        elif value:
            yield from _render(block.body, value if block.kind == "with" else dot, root)
        else:
            yield from _render(block.otherwise, dot, root)


def _pipeline(words: Sequence[str], dot: Any, root: Any) -> Any:
    commands: list[list[Any]] = [[]]
    stack: list[list[list[Any]]] = []
    for word in words:
        if word == "|":
            commands.append([])
        elif word == "(":
            stack.append(commands)
            commands = [[]]
        elif word == ")":
            if not stack:
                raise _wrong(" ".join(words), "a bracket too many")
            value = _run(commands, dot, root)
            commands = stack.pop()
            commands[-1].append(_Value(value))
        else:
            commands[-1].append(word)
    if stack:
        raise _wrong(" ".join(words), "a bracket is not closed")
    return _run(commands, dot, root)


@dataclass(frozen=True, slots=True)
class _Value:
    value: Any


def _run(commands: Sequence[Sequence[Any]], dot: Any, root: Any) -> Any:
    piped: list[Any] = []
    for command in commands:
        if not command:
            raise InvalidOption("a pipe has nothing on one of its sides", argument="format")
        first, rest = command[0], [_operand(word, dot, root) for word in command[1:]]
        if isinstance(first, str) and (first.isidentifier()) and first not in ("true", "false", "nil"):
            piped = [_call(first, [*rest, *piped])]
        elif rest or piped:
            raise InvalidOption(f"{first} is no function", argument="format")
        else:
            piped = [_operand(first, dot, root)]
    return piped[0]


def _operand(word: Any, dot: Any, root: Any) -> Any:
    if isinstance(word, _Value):
        return word.value
    if word == "$":
        return root
    if word.startswith("."):
        return _field(dot, word)
    if word[0] == '"':
        return json.loads(word)
    if word[0] == "`":
        return word[1:-1]
    if word.lstrip("-").isdigit():
        return int(word)
    if word in ("true", "false", "nil"):
        return {"true": True, "false": False, "nil": None}[word]
    raise InvalidOption(f"{word!r} is neither a field nor a value", argument="format")


def _field(value: Any, path: str) -> Any:
    for name in filter(None, path.split(".")):
        if not isinstance(value, Mapping):
            raise InvalidOption(f"{path}: there is no field {name} in {_shown(value)!r}", argument="format")
        if name not in value:
            known = ", ".join(f".{each}" for each in value)
            raise InvalidOption(f"there is no field .{name}; there are {known}", argument="format")
        value = value[name]
    return value


def _call(name: str, values: list[Any]) -> Any:
    function = _FUNCTIONS.get(name)
    if function is None:
        raise InvalidOption(f"there is no function {name}; there are {', '.join(_FUNCTIONS)}", argument="format")
    try:
        return function(*values)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise InvalidOption(f"{name}: {error}", argument="format") from error


def _shown(value: Any) -> str:
    """Write a value as Go's fmt does."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{_shown(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(_shown(each) for each in value) + "]"
    return str(value)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        value = value.get(key, "") if isinstance(value, Mapping) else value[key]
    return value


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False),
    "upper": lambda text: text.upper(),
    "lower": lambda text: text.lower(),
    "title": lambda text: text[:1].upper() + text[1:],
    "join": lambda values, separator: separator.join(values),
    "split": lambda text, separator: text.split(separator),
    "pad": lambda text, before, after: " " * before + text + " " * after,
    "truncate": lambda text, length: text[:length],
    "println": lambda *values: " ".join(map(_shown, values)) + "\n",
    "print": lambda *values: "".join(map(_shown, values)),
    "printf": lambda form, *values: re.sub(r"%[vq]", "%s", form) % tuple(values),
    "len": len,
    "index": _index,
    "slice": lambda value, *bounds: value[slice(*bounds)],
    "not": lambda value: not value,
    "and": lambda *values: next((value for value in values if not value), values[-1]),
    "or": lambda *values: next((value for value in values if value), values[-1]),
    "eq": lambda value, *others: value in others,
    "ne": lambda value, other: value != other,
    "lt": lambda value, other: value < other,
    "le": lambda value, other: value <= other,
    "gt": lambda value, other: value > other,
    "ge": lambda value, other: value >= other,
}


def _wrong(template: str, why: str) -> InvalidOption:
    return InvalidOption(f"{template!r}: {why}", argument="format")
