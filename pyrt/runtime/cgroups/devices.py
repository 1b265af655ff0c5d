"""The list of devices that a container may open or make, for both versions of cgroups.

Takes DeviceRules, of which a later one wins for the accesses that it names; gives the lines of v1's devices.allow and
devices.deny, or the eBPF program of v2. What no rule mentions is allowed, so a list starts with "deny all".
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence

from pyrt.errors import InvalidSpec, Unsupported
from pyrt.oci.spec import DeviceRule

__all__ = ["DEFAULT_DEVICE_RULES", "check_rules", "device_lines", "device_program", "digest"]

DEFAULT_DEVICE_RULES: tuple[DeviceRule, ...] = (
    DeviceRule(False),
    DeviceRule(True, "c", access="m"),
    DeviceRule(True, "b", access="m"),
    DeviceRule(True, "c", 1, 3),  # null
    DeviceRule(True, "c", 1, 5),  # zero
    DeviceRule(True, "c", 1, 7),  # full
    DeviceRule(True, "c", 1, 8),  # random
    DeviceRule(True, "c", 1, 9),  # urandom
    DeviceRule(True, "c", 5, 0),  # tty
    DeviceRule(True, "c", 5, 1),  # console
    DeviceRule(True, "c", 5, 2),  # ptmx
    DeviceRule(True, "c", 136),  # pts
)

_MAX_MAJOR, _MAX_MINOR = (1 << 12) - 1, (1 << 20) - 1
_BITS = {"m": 1, "r": 2, "w": 4}
_ALL_BITS = 7
_TYPES = {"b": 1, "c": 2}


def check_rules(rules: Iterable[DeviceRule]) -> None:
    """Raise InvalidSpec for a rule that is none."""
    for rule in rules:
        major, minor = rule.major or 0, rule.minor or 0
        if rule.type not in ("a", "b", "c") or not rule.access or set(rule.access) - set("rwm"):
            raise InvalidSpec(f"{rule}: the type is a, b or c, the access some of r, w, m", argument="devices")
        if not 0 <= major <= _MAX_MAJOR or not 0 <= minor <= _MAX_MINOR:
            raise InvalidSpec(f"{rule}: there is no device of this number", argument="devices")


def digest(rules: Sequence[DeviceRule]) -> str:
    """Give a short name for a list, the same in every process."""
    return f"{zlib.crc32(device_program(rules)):08x}"


def device_lines(rules: Iterable[DeviceRule]) -> list[tuple[str, str]]:
    """Give v1's writes as (file, line). Raises Unsupported for an exception to a wider rule, which v1 cannot hold."""
    made: list[tuple[str, str]] = []
    default, exceptions = True, list[DeviceRule]()
    for rule in _typed(rules):
        file = "devices.allow" if rule.allow else "devices.deny"
        if _is_everything(rule):
            default, exceptions, made = rule.allow, [], [(file, "a")]
            continue
        inside = [other for other in exceptions if _overlap(rule, other) and not _same_device(rule, other)]
        if rule.allow == default and inside:
            raise Unsupported("device_cgroup_rules", f"cgroup v1 cannot except {_line(rule)} from {_line(inside[0])}")
        if rule.allow != default:
            exceptions.append(rule)
        made.append((file, _line(rule)))
    return made


def device_program(rules: Sequence[DeviceRule]) -> bytes:
    """Give the BPF_PROG_TYPE_CGROUP_DEVICE program of a list: struct bpf_insn, 8 bytes each (linux/bpf.h).

    The rules are tried from the last to the first, with the accesses that are still open in r2. A deny rule that hits
    one ends with 0; an allow rule clears those it grants, and ends with 1 where none is left.
    """
    code = [_load(2, 0), _move(3, 2), _and(3, 0xFFFF), _shift_right(2, 16), _load(4, 4), _load(5, 8)]
    for rule in reversed(rules):
        tests = [] if rule.type == "a" else [(3, _TYPES[rule.type])]
        tests += [(register, number) for register, number in ((4, rule.major), (5, rule.minor)) if number is not None]
        body = list(_verdict(rule))
        for left, (register, number) in zip(range(len(tests), 0, -1), tests, strict=True):
            code.append(_jump_unless_equal(register, number, left - 1 + len(body)))
        code += body
        if not tests and _bits(rule) == _ALL_BITS:
            return b"".join(code)  # the verifier refuses instructions that nothing reaches
    return b"".join([*code, _set(0, 1), _EXIT])


def _verdict(rule: DeviceRule) -> Iterator[bytes]:
    bits = _bits(rule)
    if bits != _ALL_BITS and rule.allow:
        yield from (_and(2, ~bits & _ALL_BITS), _jump_unless_equal(2, 0, 2))
    elif bits != _ALL_BITS:
        yield from (_move(6, 2), _and(6, bits), _jump_if_equal(6, 0, 2))
    yield from (_set(0, int(rule.allow)), _EXIT)


def _instruction(code: int, to: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("=BBhi", code, to | source << 4, offset, value)


def _load(to: int, offset: int) -> bytes:
    return _instruction(0x61, to, 1, offset)  # a 32-bit field of the context, which r1 points to


def _move(to: int, source: int) -> bytes:
    return _instruction(0xBF, to, source)


def _set(to: int, value: int) -> bytes:
    return _instruction(0xB7, to, value=value)


def _and(to: int, value: int) -> bytes:
    return _instruction(0x57, to, value=value)


def _shift_right(to: int, value: int) -> bytes:
    return _instruction(0x77, to, value=value)


def _jump_if_equal(register: int, value: int, over: int) -> bytes:
    return _instruction(0x15, register, offset=over, value=value)


def _jump_unless_equal(register: int, value: int, over: int) -> bytes:
    return _instruction(0x55, register, offset=over, value=value)


_EXIT = _instruction(0x95)


def _bits(rule: DeviceRule) -> int:
    return sum(_BITS[letter] for letter in set(rule.access))


def _is_everything(rule: DeviceRule) -> bool:
    return rule.type == "a" and rule.major is None and rule.minor is None and _bits(rule) == _ALL_BITS


def _typed(rules: Iterable[DeviceRule]) -> Iterator[DeviceRule]:
    """Split what is said of all types into both: v1 takes "a" for everything, whatever follows it."""
    for rule in rules:
        if rule.type != "a" or _is_everything(rule):
            yield rule
        else:
            yield from (DeviceRule(rule.allow, type, rule.major, rule.minor, rule.access) for type in "cb")


def _overlap(one: DeviceRule, other: DeviceRule) -> bool:
    pairs = ((one.major, other.major), (one.minor, other.minor))
    numbers = all(a is None or b is None or a == b for a, b in pairs)
    return one.type == other.type and numbers and bool(_bits(one) & _bits(other))


def _same_device(one: DeviceRule, other: DeviceRule) -> bool:
    return (one.type, one.major, one.minor) == (other.type, other.major, other.minor)


def _line(rule: DeviceRule) -> str:
    major, minor = ("*" if number is None else number for number in (rule.major, rule.minor))
    return f"{rule.type} {major}:{minor} {rule.access}"
