"""Laws of the conversions, and the device program against a reading of the list from its end."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pyrt.oci.spec import DeviceRule
from pyrt.runtime.cgroups.convert import blkio_weight_to_io_weight, shares_to_weight
from pyrt.runtime.cgroups.devices import device_program
from tests.oracles.cgroup import expected_verdict, run_device_program

ACCESSES = ["r", "w", "m", "rw", "rm", "wm", "rwm"]
NUMBERS = st.one_of(st.none(), st.integers(0, 3))
RULES = st.lists(
    st.builds(DeviceRule, st.booleans(), st.sampled_from("abc"), NUMBERS, NUMBERS, st.sampled_from(ACCESSES)),
    max_size=8,
)


@given(st.lists(st.integers(2, 262144), min_size=2, max_size=20))
def test_more_shares_are_no_less_weight(shares: list[int]) -> None:
    weights = [shares_to_weight(each) for each in sorted(shares)]

    assert all(1 <= weight <= 10000 for weight in weights)
    assert all(low <= high for low, high in pairwise(weights))


@given(st.integers(10, 999))
def test_more_blkio_weight_is_more_io_weight(weight: int) -> None:
    assert 1 <= blkio_weight_to_io_weight(weight) < blkio_weight_to_io_weight(weight + 1) <= 10000


@given(RULES, st.sampled_from("bc"), st.integers(0, 3), st.integers(0, 3), st.sampled_from(ACCESSES))
def test_program_says_what_the_list_says(
    rules: list[DeviceRule], type: str, major: int, minor: int, access: str
) -> None:
    verdict = run_device_program(device_program(rules), type, major, minor, access)

    assert verdict == expected_verdict(rules, type, major, minor, access)


@given(RULES)
def test_every_instruction_of_a_program_can_be_reached(rules: list[DeviceRule]) -> None:
    code = device_program(rules)
    reached, waiting = set[int](), [0]
    while waiting:
        at = waiting.pop()
        if at in reached:
            continue
        reached.add(at)
        operation, offset = code[at * 8], int.from_bytes(code[at * 8 + 2 : at * 8 + 4], "little", signed=True)
        if operation != 0x95:
            waiting.append(at + 1)
        if operation in (0x15, 0x55):
            waiting.append(at + 1 + offset)

    assert reached == set(range(len(code) // 8))
