"""Compile a Policy into a classic BPF program.

Per architecture the calls become ranges of numbers with one outcome each; a range is found by a search tree, balanced
by how many calls lie in it. Where libseccomp leaves a choice, this does what libseccomp under runc does:

- Rules of one call are alternatives; the first one without conditions beats all with conditions. Among conditions that
  overlap and differ in action the first in the document wins.
- A rule that returns the default is dropped. Conditions of a rule all have to hold, unless two of them are about the
  same argument: then they are alternatives.
- 32-bit interfaces compare the lower word of an argument.
- A call that an architecture does not have is skipped; i386's socketcall and ipc follow the calls they carry.
- An unlisted architecture, or x32 where only x86_64 is listed, kills the thread.
- A number above the highest that the document names gives ENOSYS where the default action would deny it: the document
  is older than that call, and C libraries fall back on ENOSYS but not on EPERM.

Kernels since 5.11 evaluate a filter once for every number when it is loaded, and skip it later for calls that it always
allows: the short way through the tree makes loading cheap, and the calls that are denied or compared.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from pyrt.runtime.seccomp.bpf import JEQ, JGE, JGT, Assembler
from pyrt.runtime.seccomp.document import ACTION_BITS, ERRNO, KILL_THREAD, PERMISSIVE, Condition, Policy
from pyrt.runtime.seccomp.syscalls import ARM_PRIVATE, X32_BIT, Architecture, family, multiplexed, numbers

__all__ = ["compile_policy"]

_NUMBER = 0  # offsets in struct seccomp_data
_ARCH = 4
_ARGS = 16
_WORD = 0xFFFFFFFF
_NUMBERS_END = 1 << 32
_ENOSYS = ERRNO | 38


@dataclass(frozen=True, slots=True)
class _Alternative:
    conditions: tuple[Condition, ...]
    verdict: int


@dataclass(frozen=True, slots=True)
class _Choice:
    """The outcome of a call that depends on its arguments."""

    alternatives: tuple[_Alternative, ...]
    default: int
    bits: int


_Outcome = int | _Choice


@dataclass(frozen=True, slots=True)
class _Range:
    """Numbers from `start` to the next range have one outcome; `calls` of them are known."""

    start: int
    outcome: _Outcome
    calls: int


def compile_policy(policy: Policy, machine: str) -> bytes:
    """Return the program for a kernel of `machine` (uname's word), an array of struct sock_filter.

    Raises Unsupported for a machine without tables and for a policy too long for the kernel.
    """
    native, *others = family(machine)
    listed = [native, *(each for each in others if each.name in policy.architectures)]
    program = Assembler()
    entry = program.give(KILL_THREAD)
    for audit in sorted({each.audit for each in listed}, key=lambda audit: audit == native.audit):
        ranges = list(_joined(_audit_ranges(policy, [each for each in listed if each.audit == audit])))
        entry = program.branch(JEQ, audit, program.load(_NUMBER, _tree(program, ranges)), entry)
    return program.finish(program.load(_ARCH, entry))


def _audit_ranges(policy: Policy, architectures: Sequence[Architecture]) -> Iterator[_Range]:
    """Yield the ranges of all interfaces that share one audit value: one of them, or x86_64 and x32."""
    x86_64 = any(each.name == "SCMP_ARCH_X86_64" for each in architectures)
    for each in architectures:
        if each.name == "SCMP_ARCH_X32":
            yield from _ranges(policy, each, X32_BIT, _NUMBERS_END)
        else:
            yield from _ranges(policy, each, 0, X32_BIT if x86_64 else _NUMBERS_END)
    if x86_64 and len(architectures) == 1:
        yield _Range(X32_BIT, KILL_THREAD, 0)
        yield _Range(_WORD, policy.default, 0)  # -1: a tracer has the call skipped


def _ranges(policy: Policy, architecture: Architecture, start: int, end: int) -> Iterator[_Range]:
    table = numbers(architecture.name)
    outcomes = _outcomes(policy, architecture, table)
    beyond = _ENOSYS if policy.default & ACTION_BITS not in PERMISSIVE else policy.default
    carriers = {name: via for name, (via, _) in multiplexed(architecture.name).items()}
    named = {each for rule in policy.rules for name in rule.names for each in (name, carriers.get(name, name))}
    counted = [table[name] for name in named & table.keys()]
    last = max((number for number in counted if number < ARM_PRIVATE or number & X32_BIT), default=0) or end
    known = sorted(table.values())
    edges = {start, *outcomes, *(number + 1 for number in outcomes), last + 1}
    for low, high in _pairs(sorted(edge for edge in edges if edge < end), end):
        calls = bisect_left(known, high) - bisect_left(known, low)
        yield _Range(low, outcomes.get(low, policy.default if low <= last else beyond), calls)


def _outcomes(policy: Policy, architecture: Architecture, table: dict[str, int]) -> dict[int, _Outcome]:
    """Return the calls whose outcome the rules set."""
    alternatives: dict[int, list[_Alternative]] = {}
    carried = multiplexed(architecture.name)
    for rule in policy.rules:
        if rule.verdict == policy.default:
            continue
        for name in rule.names:
            for conditions in _conjunctions(rule.conditions):
                if name in table:
                    alternatives.setdefault(table[name], []).append(_Alternative(conditions, rule.verdict))
                if name in carried:
                    via, call = carried[name]
                    selected = (Condition(0, call, "SCMP_CMP_EQ"), *(each for each in conditions if each.index))
                    alternatives.setdefault(table[via], []).append(_Alternative(selected, rule.verdict))
    return {number: _outcome(found, policy.default, architecture.bits) for number, found in alternatives.items()}


def _conjunctions(conditions: tuple[Condition, ...]) -> Iterable[tuple[Condition, ...]]:
    if len({each.index for each in conditions}) < len(conditions):
        return [(each,) for each in conditions]
    return [conditions]


def _outcome(alternatives: list[_Alternative], default: int, bits: int) -> _Outcome:
    for each in alternatives:
        if not each.conditions:
            return each.verdict
    return _Choice(tuple(dict.fromkeys(alternatives)), default, bits)


def _joined(ranges: Iterable[_Range]) -> Iterator[_Range]:
    """Merge neighbours of equal outcome."""
    held: _Range | None = None
    for each in ranges:
        if held is not None and held.outcome == each.outcome:
            held = _Range(held.start, held.outcome, held.calls + each.calls)
            continue
        if held is not None:
            yield held
        held = each
    if held is not None:
        yield held


def _pairs(edges: Sequence[int], end: int) -> Iterator[tuple[int, int]]:
    return zip(edges, [*edges[1:], end], strict=True)


def _tree(program: Assembler, ranges: Sequence[_Range]) -> int:
    """Return the label of a search of the accumulator among `ranges`."""
    if len(ranges) == 1:
        return _give(program, ranges[0].outcome)
    if len(ranges) == 3 and ranges[0].outcome == ranges[2].outcome and ranges[1].start + 1 == ranges[2].start:
        outside = _give(program, ranges[0].outcome)
        return program.branch(JEQ, ranges[1].start, _give(program, ranges[1].outcome), outside)
    split = _middle(ranges)
    above = _tree(program, ranges[split:])
    below = _tree(program, ranges[:split])
    return program.branch(JGE, ranges[split].start, above, below)


def _middle(ranges: Sequence[_Range]) -> int:
    """Return where to cut so that both sides hold about as many calls."""
    sums = list(accumulate(each.calls for each in ranges))
    return min(range(1, len(ranges)), key=lambda cut: abs(2 * sums[cut - 1] - sums[-1]))


def _give(program: Assembler, outcome: _Outcome) -> int:
    if isinstance(outcome, int):
        return program.give(outcome)
    label = program.give(outcome.default)
    for alternative in reversed(outcome.alternatives):
        matched = program.give(alternative.verdict)
        for condition in reversed(alternative.conditions):
            compare = _compare if outcome.bits == 64 else _compare_low
            matched = compare(program, condition, matched, label)
        label = matched
    return label


def _compare(program: Assembler, condition: Condition, yes: int, no: int) -> int:
    """Compare all 64 bits of an argument: the upper word decides, the lower where the upper ones are equal."""
    low = _compare_low(program, condition, yes, no)
    high, offset = condition.value >> 32, _ARGS + 8 * condition.index + 4
    match condition.op:
        case "SCMP_CMP_EQ":
            return program.load(offset, program.branch(JEQ, high, low, no))
        case "SCMP_CMP_NE":
            return program.load(offset, program.branch(JEQ, high, low, yes))
        case "SCMP_CMP_MASKED_EQ":
            return _masked(program, offset, high, condition.value_two >> 32, low, no)
        case "SCMP_CMP_GT" | "SCMP_CMP_GE":
            more, less = yes, no
        case _:
            more, less = no, yes
    equal = program.branch(JEQ, high, low, less) if high else low
    return program.load(offset, program.branch(JGT, high, more, equal))


def _compare_low(program: Assembler, condition: Condition, yes: int, no: int) -> int:
    value, offset = condition.value & _WORD, _ARGS + 8 * condition.index
    match condition.op:
        case "SCMP_CMP_EQ":
            branch = program.branch(JEQ, value, yes, no)
        case "SCMP_CMP_NE":
            branch = program.branch(JEQ, value, no, yes)
        case "SCMP_CMP_GT":
            branch = program.branch(JGT, value, yes, no)
        case "SCMP_CMP_LE":
            branch = program.branch(JGT, value, no, yes)
        case "SCMP_CMP_GE":
            branch = program.branch(JGE, value, yes, no)
        case "SCMP_CMP_LT":
            branch = program.branch(JGE, value, no, yes)
        case _:
            return _masked(program, offset, value, condition.value_two & _WORD, yes, no)
    return program.load(offset, branch)


def _masked(program: Assembler, offset: int, mask: int, value: int, yes: int, no: int) -> int:
    if not mask:
        return yes
    return program.load(offset, program.mask(mask, program.branch(JEQ, value & mask, yes, no)))
