"""The outcome of system calls under an OCI seccomp document, read off the document rule by rule."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Sequence
from typing import Any

from pyrt.runtime.seccomp.syscalls import multiplexed, numbers

__all__ = ["Reading"]

ACTIONS = {
    "SCMP_ACT_KILL": 0,
    "SCMP_ACT_KILL_THREAD": 0,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x30000,
    "SCMP_ACT_ERRNO": 0x50000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
PERMISSIVE = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")


class Reading:
    """A document as one interface sees it; the interface has to be listed in it or be the native one."""

    def __init__(self, document: bytes, architecture: str) -> None:
        policy = json.loads(document)
        self._table, self._carried = numbers(architecture), multiplexed(architecture)
        self._bits = 64 if architecture in ("SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64") else 32
        self._default = _value(policy["defaultAction"], policy.get("defaultErrnoRet"))
        self._beyond = self._default if policy["defaultAction"] in PERMISSIVE else 0x50000 | errno.ENOSYS
        names = [name for rule in policy["syscalls"] for name in rule["names"]]
        names += [self._carried[name][0] for name in names if name in self._carried]
        named = [self._table[name] for name in names if name in self._table]
        counted = [each for each in named if each < 0xF0000 or architecture == "SCMP_ARCH_X32"]
        self._named, self._last = set(named), max(counted, default=0) or 2**32
        self._rules = [
            (number, conditions, value)
            for rule in policy["syscalls"]
            if (value := _value(rule["action"], rule.get("errnoRet"))) != self._default
            for name in rule["names"]
            for number, conditions in self._alternatives(name, rule.get("args") or [])
        ]

    def decide(self, number: int, args: Sequence[int]) -> int:
        """Return the SECCOMP_RET_* value for a call."""
        rules = [(conditions, value) for of, conditions, value in self._rules if of == number]
        for conditions, value in rules:
            if not conditions:
                return value
        for conditions, value in rules:
            if all(_holds(each, args[each["index"]], self._bits) for each in conditions):
                return value
        return self._beyond if number > self._last and number not in self._named else self._default

    def _alternatives(self, name: str, args: list[Any]) -> Iterator[tuple[int, list[Any]]]:
        repeated = len({each["index"] for each in args}) < len(args)
        for conditions in [[each] for each in args] if repeated else [args]:
            if name in self._table:
                yield self._table[name], conditions
            if name in self._carried:
                via, call = self._carried[name]
                selector = {"index": 0, "value": call, "op": "SCMP_CMP_EQ"}
                yield self._table[via], [selector, *(each for each in conditions if each["index"] != 0)]


def _holds(condition: Any, argument: int, bits: int) -> bool:
    word = (1 << bits) - 1
    value: int
    second: int
    argument, value, second = argument & word, condition["value"] & word, condition.get("valueTwo", 0) & word
    match condition["op"]:
        case "SCMP_CMP_NE":
            return argument != value
        case "SCMP_CMP_LT":
            return argument < value
        case "SCMP_CMP_LE":
            return argument <= value
        case "SCMP_CMP_EQ":
            return argument == value
        case "SCMP_CMP_GE":
            return argument >= value
        case "SCMP_CMP_GT":
            return argument > value
        case _:
            return argument & value == second & value


def _value(action: str, errno_value: int | None) -> int:
    if action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        return ACTIONS[action] | (errno.EPERM if errno_value is None else errno_value)
    return ACTIONS[action]
