"""Profiles: what is read, what is refused, and where the refusal points."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pyrt.errors import InvalidOption, InvalidSpec, Unsupported
from pyrt.runtime.capabilities import DEFAULT
from pyrt.runtime.seccomp import UNCONFINED, Filters, read_profile
from pyrt.runtime.seccomp.bpf import JEQ, JGT, Assembler
from pyrt.runtime.seccomp.profile import oci_document
from pyrt.runtime.seccomp.syscalls import ARCHITECTURES, FAMILIES, multiplexed, numbers
from tests.oracles.bpf import execute
from tests.oracles.seccomp_policy import Reading

ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x50001, 0x50026
X86_64 = ARCHITECTURES["SCMP_ARCH_X86_64"].audit


def filters(kernel: tuple[int, int] = (6, 1)) -> Filters:
    return Filters(machine="x86_64", kernel=kernel)


def compiled(document: object, capabilities: frozenset[str] = DEFAULT, kernel: tuple[int, int] = (6, 1)) -> bytes:
    program = filters(kernel).program(json.dumps(document).encode(), capabilities)
    assert program is not None
    return program.code


def verdict(code: bytes, name: str, *args: int, architecture: str = "SCMP_ARCH_X86_64") -> int:
    return execute(code, ARCHITECTURES[architecture].audit, numbers(architecture)[name], args).value


def document(*rules: Any, **more: Any) -> dict[str, Any]:
    return {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": list(rules), **more}


def allow(*names: str, **more: Any) -> dict[str, Any]:
    return {"names": list(names), "action": "SCMP_ACT_ALLOW", **more}


def compare(op: str, value: int, index: int = 0) -> dict[str, Any]:
    return {"index": index, "value": value, "op": f"SCMP_CMP_{op}"}


@pytest.fixture(scope="module")
def default() -> bytes:
    program = filters().program(None, DEFAULT)
    assert program is not None
    return program.code


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("read", (), ALLOW),
        ("ptrace", (), ALLOW),
        ("mount", (), EPERM),
        ("io_uring_setup", (), EPERM),
        ("clone3", (), ENOSYS),
        ("clone", (0x50F00,), ALLOW),
        ("clone", (0x10000000,), EPERM),
        ("socket", (2,), ALLOW),
        ("socket", (38,), EPERM),
        ("socket", (40,), EPERM),
        ("socket", (1 << 32 | 38,), ALLOW),
        ("personality", (0xFFFFFFFF,), ALLOW),
        ("personality", (1,), EPERM),
        ("listns", (), ENOSYS),
    ],
)
def test_default_profile(default: bytes, name: str, args: tuple[int, ...], expected: int) -> None:
    assert verdict(default, name, *args) == expected


@pytest.mark.parametrize(
    ("capability", "name"),
    [("CAP_SYS_ADMIN", "mount"), ("CAP_SYS_ADMIN", "clone3"), ("CAP_SYS_TIME", "settimeofday"), ("CAP_BPF", "bpf")],
)
def test_capability_opens_its_calls(default: bytes, capability: str, name: str) -> None:
    program = filters().program(None, DEFAULT | {capability})

    assert program is not None
    assert verdict(default, name) != ALLOW
    assert verdict(program.code, name) == ALLOW


def test_foreign_interfaces(default: bytes) -> None:
    unlisted = compiled(document(allow("read")))

    assert execute(default, 0x40000003, numbers("SCMP_ARCH_X86")["read"]).value == ALLOW
    assert execute(default, X86_64, 0x40000000).value == ALLOW
    assert execute(default, ARCHITECTURES["SCMP_ARCH_ARM"].audit, 3).value == 0
    assert execute(unlisted, 0x40000003, 3).value == 0
    assert execute(unlisted, X86_64, 0x40000000).value == 0
    assert execute(unlisted, X86_64, 0xFFFFFFFF).value == EPERM


def test_default_profile_is_short(default: bytes) -> None:
    table = numbers("SCMP_ARCH_X86_64").values()

    assert len(default) // 8 < 400
    assert max(execute(default, X86_64, number).steps for number in table) <= 16


def test_every_architecture_has_a_table() -> None:
    for name in ARCHITECTURES:
        table = numbers(name)
        assert len(table) > 300
        assert len(set(table.values())) == len(table)
    assert multiplexed("SCMP_ARCH_X86")["accept4"] == ("socketcall", 18)
    assert multiplexed("SCMP_ARCH_X86")["shmctl"] == ("ipc", 24)
    with pytest.raises(Unsupported, match="riscv64"):
        Filters(machine="riscv64").program()


def test_conditions_of_a_rule_all_hold_and_rules_are_alternatives() -> None:
    both = [compare("GE", 5), compare("LE", 7, index=1)]
    code = compiled(document(allow("ioctl", args=both), allow("ioctl", args=[compare("EQ", 2**63, index=2)])))

    assert verdict(code, "ioctl", 5, 7) == ALLOW
    assert verdict(code, "ioctl", 2**32, 0) == ALLOW
    assert verdict(code, "ioctl", 4, 7) == EPERM
    assert verdict(code, "ioctl", 5, 2**32) == EPERM
    assert verdict(code, "ioctl", 0, 9, 2**63) == ALLOW


def test_two_conditions_on_one_argument_are_alternatives() -> None:
    code = compiled(document(allow("ioctl", args=[compare("LT", 3), compare("GT", 9)])))

    assert [verdict(code, "ioctl", value) for value in (2, 3, 9, 10)] == [ALLOW, EPERM, EPERM, ALLOW]


def test_first_rule_without_conditions_wins() -> None:
    kill = {"names": ["ioctl"], "action": "SCMP_ACT_KILL_PROCESS"}
    code = compiled(document({**kill, "args": [compare("EQ", 1)]}, allow("ioctl"), kill))

    assert verdict(code, "ioctl", 1) == ALLOW


@pytest.mark.parametrize(
    ("action", "errno", "value"),
    [
        ("KILL", None, 0),
        ("KILL_THREAD", None, 0),
        ("KILL_PROCESS", None, 0x80000000),
        ("TRAP", None, 0x30000),
        ("ERRNO", None, EPERM),
        ("ERRNO", 4095, 0x50FFF),
        ("TRACE", None, 0x7FF00001),
        ("LOG", None, 0x7FFC0000),
    ],
)
def test_actions(action: str, errno: int | None, value: int) -> None:
    rule = {"names": ["read"], "action": f"SCMP_ACT_{action}", "errnoRet": errno}
    code = compiled({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})

    assert verdict(code, "read") == value
    assert verdict(code, "listns") == ALLOW


def test_newer_calls_than_the_document_names_do_not_exist() -> None:
    code = compiled(document(allow("read", "openat2", "no_such_call")))

    assert verdict(code, "write") == EPERM
    assert verdict(code, "pidfd_getfd") == ENOSYS
    assert verdict(compiled(document(allow("openat2"), defaultErrnoRet=13)), "write") == 0x5000D


def test_i386_calls_are_followed_through_socketcall() -> None:
    rules = document(allow("socket", args=[compare("EQ", 1)]), architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
    code = compiled(rules)

    assert verdict(code, "socketcall", 1, architecture="SCMP_ARCH_X86") == ALLOW
    assert verdict(code, "socketcall", 2, architecture="SCMP_ARCH_X86") == EPERM
    assert verdict(code, "socket", 2, architecture="SCMP_ARCH_X86") == EPERM


def test_dockers_form_is_resolved() -> None:
    profile = document(
        allow("read", includes={"minKernel": "4.8"}),
        allow("write", includes={"minKernel": "6.2"}),
        allow("open", excludes={"minKernel": "6.2"}),
        allow("close", includes={"arches": ["arm64"]}),
        allow("stat", excludes={"arches": ["amd64"]}),
        allow("lstat", excludes={"caps": ["CAP_CHOWN", "CAP_BPF"]}),
        {"name": "poll", "action": "SCMP_ACT_ALLOW", "args": None, "comment": "the old form"},
        archMap=[{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    )

    text = oci_document(json.dumps(profile).encode(), capabilities=DEFAULT, kernel=(6, 1), machine="x86_64")

    resolved = json.loads(text)
    assert [rule["names"] for rule in resolved["syscalls"]] == [["read"], ["open"], ["poll"]]
    assert resolved["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    assert filters().document(text, DEFAULT) == text


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"defaultAction": None}, "seccomp.defaultAction"),
        ({"defaultAction": "ALLOW"}, "seccomp.defaultAction"),
        ({"defaultErrnoRet": 4096}, "seccomp.defaultErrnoRet"),
        ({"architectures": ["x86_64"]}, "seccomp.architectures[0]"),
        ({"architectures": ["SCMP_ARCH_X86"], "archMap": [{}]}, "seccomp.archMap"),
        ({"archMap": [{}]}, "seccomp.archMap[0].architecture"),
        ({"flags": ["SECCOMP_FILTER_FLAG_LOG", "FAST"]}, "seccomp.flags[1]"),
        ({"syscalls": {}}, None),
        ({"syscalls": 1}, "seccomp.syscalls"),
        ({"syscalls": [allow("read"), 1]}, "seccomp.syscalls[1]"),
        ({"syscalls": [allow()]}, "seccomp.syscalls[0].names"),
        ({"syscalls": [allow("read", name="write")]}, "seccomp.syscalls[0].name"),
        ({"syscalls": [{"names": ["read"], "action": "NO"}]}, "seccomp.syscalls[0].action"),
        ({"syscalls": [allow("read", errnoRet=1)]}, "seccomp.syscalls[0].errnoRet"),
        ({"syscalls": [allow("read", args=[compare("EQ", 1, index=6)])]}, "seccomp.syscalls[0].args[0].index"),
        ({"syscalls": [allow("read", args=[compare("EQ", 2**64)])]}, "seccomp.syscalls[0].args[0].value"),
        ({"syscalls": [allow("read", args=[compare("EQ", -1)])]}, "seccomp.syscalls[0].args[0].value"),
        ({"syscalls": [allow("read", args=[compare("IS", 1)])]}, "seccomp.syscalls[0].args[0].op"),
        ({"syscalls": [allow("read", args=[{"op": "SCMP_CMP_EQ", "index": 0}])]}, "seccomp.syscalls[0].args[0].value"),
        ({"syscalls": [allow("read", includes={"minKernel": "new"})]}, "seccomp.syscalls[0].includes.minKernel"),
        (
            {"syscalls": [allow("a", includes={"caps": ["CAP_BPF"]}), allow("b", args=1)]},
            "seccomp.syscalls[1].args",
        ),
    ],
)
def test_wrong_profile_is_refused_at_the_place(change: dict[str, Any], place: str | None) -> None:
    profile = document(allow("read")) | change
    if place is None:
        assert verdict(compiled(profile), "read") == EPERM
        return

    with pytest.raises(InvalidSpec) as caught:
        compiled(profile)

    assert caught.value.argument == place


@pytest.mark.parametrize("text", [b"", b"[", b"[]", b"\xff", b"[" * 100_000, b'"text"'])
def test_what_is_no_document_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidSpec, match="seccomp"):
        filters().program(text)


@pytest.mark.parametrize(
    "change",
    [
        {"defaultAction": "SCMP_ACT_NOTIFY"},
        {"syscalls": [{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}]},
        {"listenerPath": "/run/agent.sock"},
        {"flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]},
    ],
)
def test_notification_is_unsupported(change: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match="supervisor"):
        compiled(document() | change)


def test_option_names_a_profile(tmp_path: Path) -> None:
    file = tmp_path / "profile.json"
    file.write_bytes(b"{}")

    assert read_profile("unconfined") == UNCONFINED
    assert filters().program(UNCONFINED) is None
    assert filters().document(UNCONFINED) is None
    assert read_profile("builtin") is None
    assert read_profile(' {"a": 1}') == b' {"a": 1}'
    assert read_profile(str(file)) == b"{}"
    file.write_bytes(b" " * (1 << 20) + b"{}")
    for wrong in (str(file), str(tmp_path), str(tmp_path / "missing"), "", "a\0b"):
        with pytest.raises(InvalidOption) as caught:
            read_profile(wrong)
        assert caught.value.argument == "seccomp"


def test_far_targets_are_reached() -> None:
    program = Assembler()
    low, high = program.give(1), program.give(2)
    label = program.branch(JEQ, 0, low, high)
    for step in range(1, 700):
        label = program.branch(JEQ, step, low if step % 2 else high, label)
    code = program.finish(program.load(0, program.branch(JGT, 5000, high, label)))

    for number in (0, 1, 2, 350, 351, 699, 700):
        expected = 1 if number == 0 or (number % 2 and number < 700) else 2
        assert execute(code, 0, number).value == expected
    assert execute(code, 0, 5001).value == 2


def test_too_long_a_policy_is_unsupported() -> None:
    values = [compare("EQ", 2**40 + value) for value in range(4000)]

    with pytest.raises(Unsupported, match="4096"):
        compiled(document(allow("ioctl", args=values)))


@pytest.mark.needs("podman")
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_profile_of_debians_podman_is_compiled_as_it_reads(machine: str) -> None:
    profile = Path("/usr/share/containers/seccomp.json").read_bytes()
    program = Filters(machine=machine, kernel=(6, 1)).program(profile, DEFAULT)
    text = oci_document(profile, capabilities=DEFAULT, kernel=(6, 1), machine=machine)

    assert program is not None
    for name in FAMILIES[machine]:
        reading = Reading(text, name)
        for number in numbers(name).values():
            found = execute(program.code, ARCHITECTURES[name].audit, number, [16, 0, 9]).value
            assert found == reading.decide(number, [16, 0, 9, 0, 0, 0])
