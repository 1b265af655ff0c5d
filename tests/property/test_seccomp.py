"""The compiled filter decides as the document says and as libseccomp does, for every call and argument."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrt.runtime import capabilities
from pyrt.runtime.seccomp.compiler import compile_policy
from pyrt.runtime.seccomp.document import OPERATORS, read
from pyrt.runtime.seccomp.profile import BY_CAPABILITY, oci_document
from pyrt.runtime.seccomp.syscalls import ARCHITECTURES, FAMILIES, X32_BIT, numbers
from tests.oracles.bpf import execute
from tests.oracles.libseccomp import LibSeccomp
from tests.oracles.seccomp_policy import Reading

ENOSYS = 0x50026
X86 = FAMILIES["x86_64"]
CORNERS = [
    0,
    1,
    8,
    15,
    16,
    37,
    38,
    39,
    40,
    41,
    0x20000,
    0x7E020000,
    2**31,
    2**32 - 1,
    2**32,
    2**32 + 38,
    2**63,
    2**64 - 1,
]
NAMES = (
    "read write open chown32 socket bind sendto accept4 semop shmat msgget clone clone3 personality ioctl "
    "rt_sigaction mmap2 futex clock_gettime64 mseal no_such_call"
).split()
EXACT = ["SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ"]
CARRIERS = {"socketcall": "socket bind sendto accept4", "ipc": "semop shmat msgget"}
CARRIED = [*NAMES, "socketcall", "ipc", "getpid", "getuid", "rseq"]
ACTIONS = [
    {"action": f"SCMP_ACT_{name}"} for name in ("ALLOW", "ERRNO", "KILL_PROCESS", "KILL_THREAD", "TRAP", "TRACE", "LOG")
] + [{"action": "SCMP_ACT_ERRNO", "errnoRet": 22}, {"action": "SCMP_ACT_TRACE", "errnoRet": 7}]

capability_sets = st.sets(st.sampled_from([*BY_CAPABILITY, "CAP_CHOWN"])).map(frozenset)
words = st.sampled_from(CORNERS) | st.integers(0, 2**64 - 1)


TABLES = {name: numbers(name) for name in X86}


@pytest.fixture(scope="module")
def lib() -> Iterator[LibSeccomp]:
    with LibSeccomp() as library:
        yield library


@pytest.fixture(scope="module")
def known(lib: LibSeccomp) -> frozenset[str]:
    """The calls that this libseccomp, which may be older, has on all interfaces where the tables have them."""

    def has(architecture: str, name: str) -> bool:
        number = lib.number(architecture, name)
        return number is not None and (number >= 0 or -300 < number <= -100)  # those go through socketcall or ipc

    names = {name for table in TABLES.values() for name in table}
    return frozenset(name for name in names if all(has(each, name) for each in X86 if name in TABLES[each]))


def arguments_around(document: dict[str, Any]) -> st.SearchStrategy[list[int]]:
    values = {
        arg.get(key, 0)
        for rule in document["syscalls"]
        for arg in rule.get("args", ())
        for key in ("value", "valueTwo")
    }
    near = {(value + step) % 2**64 for value in values for step in (-1, 0, 1, 2**32)}
    return st.lists(st.sampled_from(sorted({*near, *CORNERS})) | words, min_size=6, max_size=6)


def rules_of(name: str, actions: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    def rule(action: dict[str, Any], operators: list[str], most: int) -> st.SearchStrategy[dict[str, Any]]:
        condition = st.fixed_dictionaries(
            {"index": st.integers(0, 5), "value": words, "valueTwo": words, "op": st.sampled_from(operators)}
        )
        args = st.lists(condition, max_size=most, unique_by=lambda each: each["index"] if most > 3 else id(each))
        return args.map(lambda found: {"names": [name], **action, "args": found})

    one = actions.flatmap(lambda action: st.lists(rule(action, sorted(OPERATORS), 6), max_size=1))
    several = actions.flatmap(lambda action: st.lists(rule(action, EXACT, 3), max_size=4))
    return one | several


def consistent_documents() -> st.SearchStrategy[dict[str, Any]]:
    """Documents about which libseccomp agrees with itself.

    It orders contradicting rules of a call its own way. Version 2.5.4 confuses alternatives that compare ranges of
    64-bit values (`a1 >= 1<<32` or `a1 <= 1` matches 2), and compares the architecture in place of the number where no
    rule of an interface is without conditions. So here a call has one action, ranges stand in one rule only, and two
    calls have rules without conditions.
    """
    lists = [rules_of(name, st.sampled_from(ACTIONS)) for name in NAMES]
    rules = st.lists(st.one_of(lists), max_size=5, unique_by=lambda found: found[0]["names"][0] if found else "")
    plain = [
        {"names": ["getpid"], "action": "SCMP_ACT_TRAP"},
        {"names": ["getuid"], "action": "SCMP_ACT_KILL_PROCESS"},
    ]
    return rules.flatmap(lambda found: framed([*plain, *(rule for each in found for rule in each)]))


def any_documents() -> st.SearchStrategy[dict[str, Any]]:
    """Documents whose rules may contradict and repeat each other."""
    condition = st.fixed_dictionaries(
        {"index": st.integers(0, 5), "value": words, "valueTwo": words, "op": st.sampled_from(sorted(OPERATORS))}
    )
    rule = st.builds(
        lambda name, action, args: {"names": [name], **action, "args": args},
        st.sampled_from(NAMES),
        st.sampled_from(ACTIONS),
        st.lists(condition, max_size=3),
    )
    return st.lists(rule, max_size=8).flatmap(framed)


def framed(rules: list[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def document(default: dict[str, Any], architectures: set[str]) -> dict[str, Any]:
        errno = {"defaultErrnoRet": default["errnoRet"]} if "errnoRet" in default else {}
        frame = {"defaultAction": default["action"], "architectures": sorted(architectures), "syscalls": rules}
        return frame | errno

    return st.builds(document, st.sampled_from(ACTIONS), st.sets(st.sampled_from(X86)))


def interfaces(document: dict[str, Any]) -> list[str]:
    return sorted({X86[0], *document["architectures"]})


def calls(architecture: str) -> list[int]:
    base = X32_BIT if architecture == "SCMP_ARCH_X32" else 0
    return [*range(base, base + 600), base + 2**29]


@settings(max_examples=15)
@given(held=capability_sets, data=st.data())
@pytest.mark.parametrize("machine", FAMILIES)
def test_default_profile_is_compiled_as_it_reads(machine: str, held: frozenset[str], data: st.DataObject) -> None:
    document = oci_document(None, capabilities=held, kernel=(6, 1), machine=machine)
    args = data.draw(arguments_around(json.loads(document)))

    code = compile_policy(read(document), machine)

    for name in FAMILIES[machine]:
        reading = Reading(document, name)
        for number in calls(name):
            found = execute(code, ARCHITECTURES[name].audit, number, args).value
            assert found == reading.decide(number, args), (name, number)


@settings(max_examples=300)
@given(document=any_documents(), data=st.data())
def test_any_document_is_compiled_as_it_reads(document: dict[str, Any], data: st.DataObject) -> None:
    args = data.draw(arguments_around(document))
    text = json.dumps(document).encode()

    code = compile_policy(read(text), "x86_64")

    for name in interfaces(document):
        table, reading = numbers(name), Reading(text, name)
        beyond = 600 | (X32_BIT if name == "SCMP_ARCH_X32" else 0)
        for number in {*(table[each] for each in CARRIED if each in table), beyond}:
            found = execute(code, ARCHITECTURES[name].audit, number, args).value
            assert found == reading.decide(number, args), (name, number)


@pytest.mark.needs("libseccomp")
@settings(max_examples=12)
@given(held=capability_sets | st.just(capabilities.DEFAULT), data=st.data())
def test_default_profile_is_libseccomps(
    lib: LibSeccomp, known: frozenset[str], held: frozenset[str], data: st.DataObject
) -> None:
    document = only(known, json.loads(oci_document(None, capabilities=held, kernel=(6, 1), machine="x86_64")))

    assert_equal(lib, document, data.draw(arguments_around(document)), calls)


@pytest.mark.needs("libseccomp")
@settings(max_examples=200)
@given(document=consistent_documents(), data=st.data())
def test_any_document_is_libseccomps(
    lib: LibSeccomp, known: frozenset[str], document: dict[str, Any], data: st.DataObject
) -> None:
    document = only(known, document)

    assert_equal(
        lib,
        document,
        data.draw(arguments_around(document)),
        lambda name: [TABLES[name][each] for each in CARRIED if each in TABLES[name]],
    )


@pytest.mark.needs("libseccomp")
def test_numbers_are_libseccomps(lib: LibSeccomp) -> None:
    for architecture in ARCHITECTURES:
        for name, number in numbers(architecture).items():
            theirs = lib.number(architecture, name)
            assert theirs is None or theirs < 0 or theirs == number, (architecture, name)


def only(known: frozenset[str], document: dict[str, Any]) -> dict[str, Any]:
    rules = [rule | {"names": [name for name in rule["names"] if name in known]} for rule in document["syscalls"]]
    return document | {"syscalls": [rule for rule in rules if rule["names"]]}


def assert_equal(
    lib: LibSeccomp, document: dict[str, Any], args: list[int], numbers_of: Callable[[str], list[int]]
) -> None:
    text = json.dumps(document).encode()
    ours, theirs = compile_policy(read(text), "x86_64"), lib.program(text)
    denies = document["defaultAction"] not in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
    for name in X86:
        table, audit = TABLES[name], ARCHITECTURES[name].audit
        names = {each for rule in document["syscalls"] for each in rule["names"]}
        if name == "SCMP_ARCH_X86":
            names |= {carrier for carrier, carried in CARRIERS.items() if names & {*carried.split()}}
        named = [table[each] for each in names if each in table]
        last = max(named, default=0) if denies and name in interfaces(document) else 0
        for number in numbers_of(name):
            found, expected = execute(ours, audit, number, args).value, execute(theirs, audit, number, args).value
            if last and number > last:
                assert (found, expected) == (ENOSYS, _default(document)), (name, number)
            else:
                assert found == expected, (name, number, document)


def _default(document: dict[str, Any]) -> int:
    return read(json.dumps({**document, "syscalls": []}).encode()).default
