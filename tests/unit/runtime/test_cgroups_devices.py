"""Lists of devices: the lines of v1, the program of v2."""

from __future__ import annotations

import struct

import pytest

from pyrt.errors import InvalidSpec, Unsupported
from pyrt.oci.spec import DeviceRule
from pyrt.runtime.cgroups.devices import DEFAULT_DEVICE_RULES, check_rules, device_lines, device_program, digest
from tests.oracles.cgroup import run_device_program

DENY_ALL = DeviceRule(False)


@pytest.mark.parametrize(
    ("device", "access", "verdict"),
    [
        (("c", 1, 3), "rw", True),
        (("c", 1, 3), "rwm", True),
        (("c", 136, 77), "rw", True),
        (("c", 1, 1), "r", False),
        (("c", 1, 1), "m", True),
        (("c", 10, 229), "rw", False),
        (("b", 8, 0), "m", True),
        (("b", 8, 0), "r", False),
        (("b", 1, 3), "r", False),
        (("b", 8, 0), "rm", False),
    ],
)
def test_dockers_list_by_the_program(device: tuple[str, int, int], access: str, verdict: bool) -> None:
    assert run_device_program(device_program(DEFAULT_DEVICE_RULES), *device, access) is verdict


def test_a_later_rule_wins() -> None:
    rules = [DENY_ALL, DeviceRule(True, "c"), DeviceRule(False, "c", 10, 229, "w")]
    code = device_program(rules)

    assert run_device_program(code, "c", 10, 228, "rw")
    assert run_device_program(code, "c", 10, 229, "r")
    assert not run_device_program(code, "c", 10, 229, "rw")


def test_accesses_may_be_granted_by_several_rules() -> None:
    code = device_program([DENY_ALL, DeviceRule(True, "b", 8, 0, "r"), DeviceRule(True, "b", 8, None, "w")])

    assert run_device_program(code, "b", 8, 0, "rw")
    assert not run_device_program(code, "b", 8, 1, "rw")


def test_nothing_stands_behind_a_rule_for_everything() -> None:
    assert device_program([DeviceRule(True, "c", 1, 3), DENY_ALL]) == device_program([DENY_ALL])


def test_program_without_rules_allows() -> None:
    code = device_program([])

    assert struct.unpack("=BBhi", code[-16:-8]) == (0xB7, 0, 0, 1)
    assert run_device_program(code, "b", 8, 0, "rwm")


def test_dockers_list_by_lines() -> None:
    lines = device_lines(DEFAULT_DEVICE_RULES)

    assert lines[:4] == [
        ("devices.deny", "a"),
        ("devices.allow", "c *:* m"),
        ("devices.allow", "b *:* m"),
        ("devices.allow", "c 1:3 rwm"),
    ]
    assert lines[-1] == ("devices.allow", "c 136:* rwm")


def test_a_rule_for_all_types_is_split_for_v1() -> None:
    assert device_lines([DENY_ALL, DeviceRule(True, "a", 8, None, "r")])[1:] == [
        ("devices.allow", "c 8:* r"),
        ("devices.allow", "b 8:* r"),
    ]


def test_what_went_before_everything_is_not_written() -> None:
    assert device_lines([DENY_ALL, DeviceRule(True, "c", 1, 3), DeviceRule(True)]) == [("devices.allow", "a")]


@pytest.mark.parametrize(
    "rules",
    [
        [DENY_ALL, DeviceRule(True, "c"), DeviceRule(False, "c", 1, 3)],
        [DENY_ALL, DeviceRule(True, "c", 1, 3), DeviceRule(False, "c", 1)],
        [DeviceRule(False, "c", 1, 3), DeviceRule(True, "c", None, 3, "r")],
    ],
)
def test_v1_refuses_an_exception_to_a_wider_rule(rules: list[DeviceRule]) -> None:
    with pytest.raises(Unsupported, match="device_cgroup_rules"):
        device_lines(rules)


@pytest.mark.parametrize(
    "rule",
    [DeviceRule(True, "u"), DeviceRule(True, access=""), DeviceRule(True, access="x"), DeviceRule(True, "c", 4096)],
)
def test_a_rule_that_is_none_is_refused(rule: DeviceRule) -> None:
    with pytest.raises(InvalidSpec, match="devices"):
        check_rules([rule])


def test_digest_tells_lists_apart() -> None:
    assert digest(DEFAULT_DEVICE_RULES) == digest(list(DEFAULT_DEVICE_RULES)) != digest(DEFAULT_DEVICE_RULES[:-1])
