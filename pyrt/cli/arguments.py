"""Reads flags by docker's rules, which are POSIX's: flags come first, and end at the first word that is none.

Takes the flags that there are and the words of a command line; gives what was given, in order, and the words that are
left. `-it`, `-e A=b`, `-eA=b`, `--env A=b`, `--env=A=b`, and for a switch `--rm` and `--rm=false`; `--` ends the flags.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyrt.errors import InvalidOption

__all__ = ["Flag", "read_flags"]

_TRUE, _FALSE = ("1", "t", "T", "true", "True", "TRUE"), ("0", "f", "F", "false", "False", "FALSE")


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag: all its spellings, the last of which errors name, and what becomes of its value.

    `option` is what it gives, `read(text, name)` makes the value and raises InvalidOption; None makes it a switch. The
    values of a flag that is `many` are collected, otherwise the last one counts. `metavar` stands for the value in the
    help; a flag without `help` is not shown there.
    """

    names: tuple[str, ...]
    option: str
    read: Callable[[str, str], Any] | None
    many: bool = False
    metavar: str = ""
    help: str = ""

    @property
    def name(self) -> str:
        """The spelling that errors name."""
        return self.names[-1]


Given = tuple[Flag, Any]


def read_flags(
    flags: Mapping[str, Flag], refused: Mapping[str, str], words: Sequence[str]
) -> tuple[list[Given], list[str]]:
    """Read the flags at the head of `words`; give them with their values, and the words behind them.

    `flags` are by spelling; `refused` are those that are known and cannot be had, with the reason. Raises
    InvalidOption.
    """
    rest = list(words)
    given: list[Given] = []
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        for name, attached in _split(word, flags):
            flag = _find(name, flags, refused)
            given.append((flag, _value(flag, name, attached, rest)))
    return given, rest


def _split(word: str, flags: Mapping[str, Flag]) -> Iterator[tuple[str, str | None]]:
    """Give the flags of one word, each with the value that is attached to it."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        yield name, value if equals else None
        return
    letters = word[1:]
    while letters:
        name, letters = f"-{letters[0]}", letters[1:]
        if letters.startswith("="):
            yield name, letters[1:]
            return
        if name in flags and flags[name].read is not None:
            yield name, letters or None
            return
        yield name, None


def _find(name: str, flags: Mapping[str, Flag], refused: Mapping[str, str]) -> Flag:
    if name in flags:
        return flags[name]
    if name in refused:
        raise InvalidOption(refused[name], argument=name)
    from difflib import get_close_matches

    near = get_close_matches(name, flags, 1) if name.startswith("--") else []
    raise InvalidOption("there is no such flag" + (f"; did you mean {near[0]}?" if near else ""), argument=name)


def _value(flag: Flag, name: str, attached: str | None, rest: list[str]) -> Any:
    if flag.read is None:
        if attached is not None and attached not in _TRUE + _FALSE:
            raise InvalidOption(f"{attached!r} is neither true nor false", argument=name)
        return attached is None or attached in _TRUE
    if attached is None and not rest:
        raise InvalidOption(f"needs a value, {flag.metavar}", argument=name)
    return flag.read(rest.pop(0) if attached is None else attached, name)
