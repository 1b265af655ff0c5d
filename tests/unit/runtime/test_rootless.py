from __future__ import annotations

import errno
from pathlib import Path

import pytest

from pyrt.errors import InvalidOption, SyscallError
from pyrt.oci.spec import IdMapping
from pyrt.runtime.rootless import IdMappings, _reason, mappings, subordinate_ids

SUBUID = "root:1:2\nalice:100000:65536\n# note\nbob:500000:10\n1000:300000:1000\nalice:not:numbers\nalice:1\n"
ALONE = IdMappings((IdMapping(0, 1000, 1),), (IdMapping(0, 1001, 1),))


def test_ranges_are_found_by_name_and_by_number() -> None:
    assert subordinate_ids(SUBUID, ["alice", "1000"]) == ((100000, 65536), (300000, 1000))


def test_a_user_with_ranges_is_root_and_has_them_from_one_on() -> None:
    found = mappings(1000, 1001, names=["alice"], subuid=SUBUID, subgid=SUBUID, helpers=True)

    assert found.uids == (IdMapping(0, 1000, 1), IdMapping(1, 100000, 65536))
    assert found.gids == (IdMapping(0, 1001, 1), IdMapping(1, 100000, 65536))
    assert found.helpers


def test_several_ranges_follow_each_other() -> None:
    found = mappings(1000, 1001, names=["alice", "1000"], subuid=SUBUID, subgid=SUBUID, helpers=True)

    assert found.uids[1:] == (IdMapping(1, 100000, 65536), IdMapping(65537, 300000, 1000))


@pytest.mark.parametrize(
    ("subuid", "subgid", "helpers"),
    [(SUBUID, SUBUID, False), ("", SUBUID, True), (SUBUID, "", True), ("alice:1000:1", SUBUID, True)],
)
def test_a_user_without_ranges_or_helpers_is_alone(subuid: str, subgid: str, helpers: bool) -> None:
    assert mappings(1000, 1001, names=["alice"], subuid=subuid, subgid=subgid, helpers=helpers) == ALONE


def test_root_takes_its_ranges() -> None:
    assert mappings(0, 0, names=["root"], subuid=SUBUID, subgid=SUBUID).uids == (IdMapping(0, 1, 2),)


def test_root_without_ranges_takes_ids_of_nobody() -> None:
    found = mappings(0, 0, names=["root"])

    assert found == IdMappings((IdMapping(0, 0x6FFF0000, 65536),), (IdMapping(0, 0x6FFF0000, 65536),))


def test_root_of_a_user_namespace_takes_the_ids_it_has() -> None:
    found = mappings(0, 0, own_uid_map="         0     100000      65536\n")

    assert found.uids == (IdMapping(0, 0, 65536),)


def test_maps_that_are_asked_for_are_taken() -> None:
    asked = ((IdMapping(0, 5, 1),), (IdMapping(0, 6, 1),))

    assert mappings(0, 0, asked=asked) == IdMappings(*asked)
    assert mappings(1000, 1001, asked=asked) == IdMappings(*asked, helpers=True)
    assert mappings(1000, 1001, asked=(ALONE.uids, ALONE.gids)) == ALONE


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (IdMapping(0, 0, 0),),
        (IdMapping(-1, 0, 1),),
        (IdMapping(0, 2**32 - 1, 1),),
        (IdMapping(0, 10, 5), IdMapping(4, 20, 1)),
        (IdMapping(0, 10, 5), IdMapping(5, 14, 1)),
        tuple(IdMapping(n, n, 1) for n in range(341)),
    ],
)
def test_maps_that_no_kernel_takes_are_refused_by_name(lines: tuple[IdMapping, ...]) -> None:
    good = (IdMapping(0, 0, 1),)

    with pytest.raises(InvalidOption) as of_uids:
        mappings(0, 0, asked=(lines, good))
    with pytest.raises(InvalidOption) as of_gids:
        mappings(0, 0, asked=(good, lines))

    assert (of_uids.value.argument, of_gids.value.argument) == ("uid_mappings", "gid_mappings")


@pytest.mark.parametrize(
    ("name", "value", "mend"),
    [
        ("user/max_user_namespaces", "0", "user.max_user_namespaces=16384"),
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
    ],
)
def test_a_switch_that_is_off_is_named_with_its_mend(tmp_path: Path, name: str, value: str, mend: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(f"{value}\n")

    reason = _reason(SyscallError(errno.EPERM, "clone"), str(tmp_path))

    assert f"{name.replace('/', '.')} is {value}" in reason
    assert mend in reason


@pytest.mark.parametrize(
    ("code", "said"),
    [(errno.ENOSPC, "in use"), (errno.EUSERS, "32 deep"), (errno.EINVAL, "CONFIG_USER_NS"), (errno.EPERM, "security")],
)
def test_other_refusals_say_what_lacks(tmp_path: Path, code: int, said: str) -> None:
    assert said in _reason(SyscallError(code, "clone"), str(tmp_path))
