"""Capabilities are chosen as docker run chooses them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyrt.errors import InvalidOption, Unsupported
from pyrt.runtime.capabilities import DEFAULT, NUMBERS, last, mask, names, select

EVERYTHING = frozenset(NUMBERS)


def test_numbers_are_the_kernels() -> None:
    assert NUMBERS["CAP_CHOWN"] == 0
    assert NUMBERS["CAP_SYS_ADMIN"] == 21
    assert NUMBERS["CAP_SETFCAP"] == 31
    assert NUMBERS["CAP_CHECKPOINT_RESTORE"] == 40
    assert len(NUMBERS) == 41


def test_default_is_dockers_fourteen() -> None:
    assert select() == DEFAULT
    assert len(DEFAULT) == 14
    assert mask(DEFAULT) == 0xA80425FB


@pytest.mark.parametrize("name", ["NET_ADMIN", "net_admin", "CAP_NET_ADMIN", "cap_Net_Admin"])
def test_names_come_in_any_spelling(name: str) -> None:
    assert select([name]) == DEFAULT | {"CAP_NET_ADMIN"}
    assert select(["ALL"], [name], available=EVERYTHING) == EVERYTHING - {"CAP_NET_ADMIN"}


def test_added_comes_after_dropped() -> None:
    assert select(["CHOWN"], ["chown", "KILL"]) == DEFAULT - {"CAP_KILL"}


def test_all_dropped_leaves_what_is_added() -> None:
    assert select(cap_drop=["all"]) == frozenset()
    assert select(["SYS_TIME", "CHOWN"], ["ALL", "CHOWN"]) == {"CAP_SYS_TIME", "CAP_CHOWN"}


def test_all_added_is_everything_but_the_dropped() -> None:
    assert select(["ALL"], available=EVERYTHING) == EVERYTHING
    assert select(["all", "CHOWN"], ["SYS_ADMIN", "CHOWN"], available=EVERYTHING) == EVERYTHING - {
        "CAP_SYS_ADMIN",
        "CAP_CHOWN",
    }
    assert select(["ALL"], ["ALL"], available=EVERYTHING) == EVERYTHING


def test_privileged_is_everything_that_is_available() -> None:
    assert select(cap_drop=["ALL"], privileged=True, available=EVERYTHING) == EVERYTHING
    assert select(privileged=True, available=DEFAULT) == DEFAULT
    assert select(privileged=True) == names((2 << last()) - 1)


@pytest.mark.parametrize("argument", ["cap_add", "cap_drop"])
@pytest.mark.parametrize("privileged", [False, True])
@pytest.mark.parametrize("name", ["", "CAP_", "NOPE", "CAP_ALL", "chown ", "CAP_CAP_CHOWN"])
def test_unknown_name_is_refused(argument: str, privileged: bool, name: str) -> None:
    added, dropped = (["CHOWN", name], []) if argument == "cap_add" else ([], ["CHOWN", name])

    with pytest.raises(InvalidOption) as caught:
        select(added, dropped, privileged=privileged)

    assert caught.value.argument == argument
    assert repr(name) in str(caught.value)


def test_text_in_place_of_a_list_is_refused() -> None:
    with pytest.raises(InvalidOption, match="cap_drop"):
        select(cap_drop="ALL")


def test_capability_that_is_not_available_is_refused() -> None:
    with pytest.raises(Unsupported, match="CAP_BPF"):
        select(["BPF", "CHOWN"], available=DEFAULT)


def test_mask_and_names_are_inverse() -> None:
    assert mask(()) == 0
    assert mask(["CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"]) == 1 | 1 << 40
    assert names(mask(EVERYTHING)) == EVERYTHING
    assert names(1 << 63 | 1) == {"CAP_CHOWN"}
    with pytest.raises(InvalidOption, match="chown"):
        mask(["chown"])


def test_last_is_bounded_by_the_known_and_read_from_the_kernel(tmp_path: Path) -> None:
    file = tmp_path / "cap_last_cap"

    file.write_text("63\n")
    assert last(str(file)) == 40
    file.write_text("37\n")
    assert last(str(file)) == 37
    with pytest.raises(Unsupported, match="missing"):
        last(str(tmp_path / "missing"))
