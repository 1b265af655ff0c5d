"""The words of Go's text/template: a template as tokens, and the values that constants have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from pyrt.errors import InvalidOption

__all__ = ["Token", "constant", "quoted", "scan", "wrong"]

_TOKEN = re.compile(
    r"""(?P<space>\s*)(?:(?P<close>(?<=\s)-\}\}|\}\})
    |(?P<string>"(?:\\.|[^"\\\n])*"|`[^`]*`)
    |(?P<char>'(?:\\[^\n]|[^'\\\n])')
    |(?P<number>[+-]?(?:\d[\w.]*|\.\d[\w.]*))
    |(?P<field>\.[^\W\d]\w*)|(?P<dot>\.)
    |(?P<variable>\$\w*)|(?P<word>[^\W\d]\w*)
    |(?P<mark>:=|[=|(),]))""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|.)", re.DOTALL)
_OPEN = re.compile(r"\{\{(-(?=\s))?(\s*/\*)?", re.DOTALL)
_COMMENT_END = re.compile(r"\*/(\s+-)?\}\}")


@dataclass(frozen=True, slots=True)
class Token:
    """A word and where it stands; `kind` is text, open, close, EOF, or a group of _TOKEN."""

    kind: str
    text: str
    at: int
    is_spaced: bool = False


def wrong(text: str, at: int, why: str, *, place: str | None = None) -> InvalidOption:
    """Give docker's error for what is wrong at a position; `place` is the node that was being executed."""
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at) - 1
    where = f"{line}" if place is None else f'{line}:{column}: executing "" at <{place}>'
    return InvalidOption(f"template parsing error: template: :{where}: {why}")


def scan(text: str) -> Iterator[Token]:
    """Give text as tokens `text`, and each action as its tokens with `close` at the end."""
    at, trims = 0, False
    while match := _OPEN.search(text, at):
        yield _literal(text, at, match.start(), trims, bool(match[1]))
        if match[2]:
            end = _COMMENT_END.search(text, match.end())
            if match[2] != "/*" and not match[1]:
                raise wrong(text, match.start(), 'unexpected "/" in command')
            if end is None:
                raise wrong(text, match.start(), "unclosed comment")
            at, trims = end.end(), bool(end[1])
            continue
        at = match.end()
        yield Token("open", "{{", match.start())
        while True:
            token = _token(text, at)
            at = token.at + len(token.text)
            yield token
            if token.kind == "close":
                trims = token.text.startswith("-")
                break
    yield _literal(text, at, len(text), trims, False)
    yield Token("EOF", "", len(text))


def _literal(template: str, start: int, end: int, trims_left: bool, trims_right: bool) -> Token:
    text = template[start:end]
    text = text.lstrip(" \t\r\n") if trims_left else text
    return Token("text", text.rstrip(" \t\r\n") if trims_right else text, start)


def _token(text: str, at: int) -> Token:
    match = _TOKEN.match(text, at)
    if match is not None and match.lastgroup is not None:
        kind = match.lastgroup
        return Token(kind, match[kind], match.start(kind), bool(match["space"]))
    at += len(text[at:]) - len(text[at:].lstrip())
    letter = text[at : at + 1]
    why = {
        "": "unclosed action",
        '"': "unterminated quoted string",
        "`": "unterminated raw quoted string",
        "'": "unterminated character constant",
        "}": "bad character U+007D '}'",
    }
    raise wrong(text, at, why.get(letter, f"unexpected {quoted(letter)} in command"))


def constant(token: Token, text: str) -> str | int | float:
    """Give the value of a string, character or number; `text` is the template. Raises InvalidOption."""
    if token.kind == "number":
        value = _number(token.text)
        if value is None:
            raise wrong(text, token.at, f"bad number syntax: {quoted(token.text)}")
        return value
    if token.text.startswith("`"):
        return token.text[1:-1]
    inner = token.text[1:-1]
    if token.kind == "char":
        inner = {'"': '\\"', "\\'": "'"}.get(inner, inner)
    try:
        string: str = json.loads(f'"{_ESCAPE.sub(_as_json, inner)}"', strict=False)
    except ValueError:
        raise wrong(text, token.at, f"invalid syntax: {token.text}") from None
    return ord(string) if token.kind == "char" else string


def _number(text: str) -> int | float | None:
    """Read a number that Go has, of 64 bits."""
    digits = text.lstrip("+-")
    is_octal = digits.startswith("0") and digits.isdecimal() and digits.isascii()
    for read in (lambda: int(text, 8 if is_octal else 0), lambda: float(text)):
        with suppress(ValueError):
            number = read()
            return number if -(1 << 63) <= number < 1 << 63 else None
    return None


def _as_json(escape: re.Match[str]) -> str:
    """Write one of Go's escapes as JSON has it."""
    letter = escape[0][1:2]
    if letter == "x" and len(escape[0]) == 4:
        return f"\\u00{escape[0][2:]}"
    return {"a": "\\u0007", "v": "\\u000b", "/": "\\ "}.get(letter, escape[0])  # "\\/" is JSON's alone


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
