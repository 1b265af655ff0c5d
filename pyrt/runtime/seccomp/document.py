"""Read linux.seccomp of an OCI config.json.

Takes the JSON, gives a Policy: actions as the kernel's return values, rules as typed conditions, everything checked.
Whatever is wrong is an InvalidSpec whose argument is the place, as in `seccomp.syscalls[3].args[0].op`.
Sources: config-linux.md ("Seccomp") of the runtime-spec, seccomp(2).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyrt.errors import InvalidSpec, Unsupported

__all__ = [
    "ALLOW",
    "ERRNO",
    "KILL_THREAD",
    "OPERATORS",
    "PERMISSIVE",
    "Condition",
    "Policy",
    "Rule",
    "Shape",
    "read",
    "read_rule",
]

KILL_PROCESS = 0x80000000
KILL_THREAD = 0x00000000
TRAP = 0x00030000
ERRNO = 0x00050000
TRACE = 0x7FF00000
LOG = 0x7FFC0000
ALLOW = 0x7FFF0000
PERMISSIVE = frozenset({ALLOW, LOG, TRACE})
ACTION_BITS = 0xFFFF0000

_EPERM = 1
_MAX_ERRNO = 4095
_ACTIONS: Mapping[str, int] = {
    "SCMP_ACT_KILL": KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
    "SCMP_ACT_TRAP": TRAP,
    "SCMP_ACT_ERRNO": ERRNO,
    "SCMP_ACT_TRACE": TRACE,
    "SCMP_ACT_LOG": LOG,
    "SCMP_ACT_ALLOW": ALLOW,
}
OPERATORS = frozenset(f"SCMP_CMP_{name}" for name in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"))
_FLAGS: Mapping[str, int] = {
    "SECCOMP_FILTER_FLAG_TSYNC": 0,  # for programs with threads; a filter that is loaded right before exec meets none
    "SECCOMP_FILTER_FLAG_LOG": 1 << 1,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 1 << 2,
}
_FOREIGN = (  # architectures of the specification whose programs no kernel of ours executes: sound, but without effect
    "MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 S390X PARISC PARISC64 RISCV64 "
    "LOONGARCH64 M68K SH SHEB"
)
_ARCHITECTURES = frozenset(f"SCMP_ARCH_{name}" for name in ("X86 X86_64 X32 ARM AARCH64 " + _FOREIGN).split())


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of argument `index` (0 to 5); with SCMP_CMP_MASKED_EQ, argument & value is compared to value_two."""

    index: int
    value: int
    op: str
    value_two: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """What to return (`verdict`, a SECCOMP_RET_* with its errno) for these calls when all conditions hold."""

    names: tuple[str, ...]
    verdict: int
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """A checked document; `flags` are for seccomp(2)."""

    default: int
    architectures: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    flags: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """A JSON object together with its place in the document, for messages."""

    value: Mapping[str, Any]
    place: str

    @classmethod
    def parse(cls, text: bytes, place: str) -> Shape:
        """Parse a whole document. Raises InvalidSpec."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidSpec(f"not JSON: {error}", argument=place) from error
        return cls.of(value, place)

    @classmethod
    def of(cls, value: object, place: str) -> Shape:
        if not isinstance(value, dict):
            raise InvalidSpec(f"must be an object, not {_kind(value)}", argument=place)
        return cls(value, place)

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string. Without a default it has to be there."""
        value = self.value.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or not value:
            raise InvalidSpec(f"must be a name, not {_kind(value)}", argument=f"{self.place}.{key}")
        return value

    def number(self, key: str, limit: int, default: int | None = None) -> int | None:
        """Return an integer from 0 to `limit`."""
        value = self.value.get(key)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limit:
            shown = value if isinstance(value, int | float) else _kind(value)
            raise InvalidSpec(f"must be an integer from 0 to {limit}, not {shown}", argument=f"{self.place}.{key}")
        return value

    def names(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        value = self.value.get(key) or ()
        if not isinstance(value, list | tuple) or not all(isinstance(each, str) and each for each in value):
            raise InvalidSpec("must be a list of names", argument=f"{self.place}.{key}")
        return tuple(value)

    def objects(self, key: str) -> list[Shape]:
        """Return a list of objects, each with its own place."""
        value = self.value.get(key) or []
        if not isinstance(value, list):
            raise InvalidSpec(f"must be a list, not {_kind(value)}", argument=f"{self.place}.{key}")
        return [Shape.of(each, f"{self.place}.{key}[{i}]") for i, each in enumerate(value)]


def read(text: bytes, place: str = "seccomp") -> Policy:
    """Read a document. Raises InvalidSpec, or Unsupported for notification by a supervisor."""
    document = Shape.parse(text, place)
    for key in ("listenerPath", "listenerMetadata"):
        if document.value.get(key):
            raise _no_notification(f"{place}.{key}")
    return Policy(
        default=_verdict(document, "defaultAction", "defaultErrnoRet"),
        architectures=_architectures(document),
        rules=tuple(read_rule(each) for each in document.objects("syscalls")),
        flags=_flags(document),
    )


def read_rule(entry: Shape) -> Rule:
    """Read one of `syscalls`. Raises InvalidSpec or Unsupported."""
    names = entry.names("names")
    if not names:
        raise InvalidSpec("must name a system call", argument=f"{entry.place}.names")
    conditions = tuple(_condition(each) for each in entry.objects("args"))
    return Rule(names, _verdict(entry, "action", "errnoRet"), conditions)


def _condition(entry: Shape) -> Condition:
    op = entry.text("op")
    if op not in OPERATORS:
        raise InvalidSpec(f"{op!r} is none of {', '.join(sorted(OPERATORS))}", argument=f"{entry.place}.op")
    index = entry.number("index", 5)
    value = entry.number("value", 2**64 - 1)
    if index is None or value is None:
        missing = "index" if index is None else "value"
        raise InvalidSpec("is missing", argument=f"{entry.place}.{missing}")
    return Condition(index, value, op, entry.number("valueTwo", 2**64 - 1) or 0)


def _verdict(entry: Shape, action_key: str, errno_key: str) -> int:
    name = entry.text(action_key)
    if name == "SCMP_ACT_NOTIFY":
        raise _no_notification(f"{entry.place}.{action_key}")
    if name not in _ACTIONS:
        known = ", ".join(_ACTIONS)
        raise InvalidSpec(f"{name!r} is none of {known}", argument=f"{entry.place}.{action_key}")
    action = _ACTIONS[name]
    errno = entry.number(errno_key, _MAX_ERRNO)
    if action in (ERRNO, TRACE):
        return action | (_EPERM if errno is None else errno)
    if errno is not None:
        raise InvalidSpec(f"{name} carries no errno", argument=f"{entry.place}.{errno_key}")
    return action


def _architectures(document: Shape) -> tuple[str, ...]:
    names = document.names("architectures")
    for position, name in enumerate(names):
        if name not in _ARCHITECTURES:
            place = f"{document.place}.architectures[{position}]"
            raise InvalidSpec(f"{name!r} is no architecture of the runtime-spec", argument=place)
    return names


def _flags(document: Shape) -> int:
    flags = 0
    for position, name in enumerate(document.names("flags")):
        place = f"{document.place}.flags[{position}]"
        if name == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV":
            raise _no_notification(place)
        if name not in _FLAGS:
            raise InvalidSpec(f"{name!r} is none of {', '.join(_FLAGS)}", argument=place)
        flags |= _FLAGS[name]
    return flags


def _no_notification(place: str) -> Unsupported:
    return Unsupported(
        f"{place}: handing system calls to a supervisor",
        "pyrt decides every call in the filter itself; use SCMP_ACT_ERRNO, or SCMP_ACT_TRACE with a tracer",
    )


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), "a number")
