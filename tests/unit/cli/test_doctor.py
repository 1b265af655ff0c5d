"""What the checks make of what they find."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from pyrt.cli import checks
from pyrt.cli.checks import Check, examine
from pyrt.cli.checks.cgroups import examine as examine_cgroups
from pyrt.cli.checks.container import in_force
from pyrt.cli.checks.kernel import CALLS, system_call
from pyrt.cli.checks.namespaces import ids
from pyrt.cli.checks.rights import landlock, privileges
from pyrt.cli.doctor import can_run, in_json, in_lines
from pyrt.container import HostFacts
from pyrt.oci.spec import IdMapping
from pyrt.runtime.capabilities import DEFAULT, NUMBERS
from pyrt.runtime.cgroups import Layout
from pyrt.runtime.rootless import IdMappings

RAN = Check("container", "ok", "cat ran")
FAILED = Check("container", "missing", "no")


@pytest.mark.parametrize(
    ("call", "found", "state"),
    [
        ("clone3", errno.EINVAL, "ok"),
        ("clone3", errno.ENOSYS, "missing"),
        ("clone3", errno.EPERM, "missing"),
        ("openat2", errno.ENOSYS, "limited"),
        ("mount_setattr", errno.EPERM, "ok"),
        ("mount_setattr", errno.ENOSYS, "missing"),
    ],
)
def test_an_errno_tells_whether_the_kernel_has_a_call(call: str, found: int, state: str) -> None:
    check = system_call(call, found)

    assert (check.name, check.state) == (f"system call {call}", state)
    assert bool(check.mend) == (state != "ok")
    assert state == "ok" or found == errno.EPERM or CALLS[call][2] in check.mend


def test_a_user_alone_is_told_how_to_get_ids() -> None:
    alone = IdMappings((IdMapping(0, 1000, 1),), (IdMapping(0, 1000, 1),))
    ranges = IdMappings((IdMapping(0, 1000, 1), IdMapping(1, 100000, 65536)), alone.gids * 2, helpers=True)

    assert ids(alone, is_root=False).state == "limited"
    assert "newuidmap" in ids(alone, is_root=False).mend
    assert ids(alone, is_root=True).state == "ok"
    assert ids(ranges, is_root=False) == Check("ids in user namespaces", "ok", "2 ids, written by newuidmap")


@pytest.mark.parametrize(("abi", "state"), [(0, "missing"), (1, "limited"), (4, "limited"), (5, "ok"), (9, "ok")])
def test_landlock_by_its_abi(abi: int, state: str) -> None:
    assert landlock(abi).state == state


def test_capabilities_that_are_missing_are_named() -> None:
    everything = frozenset(NUMBERS)
    states = [check.state for check in privileges(HostFacts())]
    bound = list(privileges(HostFacts(bounding=DEFAULT - {"CAP_MKNOD"}, effective=everything - {"CAP_SYS_RESOURCE"})))

    assert states == ["ok", "ok"]
    assert [check.state for check in bound] == ["limited", "limited"]
    assert "CAP_MKNOD" in bound[0].reason and "CAP_CHOWN" not in bound[0].reason
    assert "CAP_SYS_RESOURCE" in bound[1].reason


def test_a_user_has_all_capabilities_inside() -> None:
    found = list(privileges(HostFacts(bounding=frozenset(), effective=frozenset())))

    assert [check.state for check in found] == ["ok", "limited"]
    assert found[1].mend == "run as root"


def test_without_cgroups_there_are_no_limits() -> None:
    (check,) = examine_cgroups(Layout("none", reason="nothing is mounted: mount it"))

    assert check.state == "limited"
    assert check.reason == "nothing is mounted"
    assert check.mend.startswith("mount it")


@pytest.mark.parametrize(("mode", "state"), [("0", "limited"), ("2", "ok")])
def test_the_filter_is_looked_for_inside(mode: str, state: str) -> None:
    (check,) = in_force(f"Name:\tcat\nSeccomp:\t{mode}\nSeccomp_filters:\t1\n")

    assert check.state == state


def test_a_section_that_fails_is_a_check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken() -> list[Check]:
        raise OSError(errno.ENOENT, "No such file or directory", "/proc/self/mountinfo")

    for section in (checks.kernel, checks.namespaces, checks.files, checks.cgroups, checks.rights):
        monkeypatch.setattr(section, "examine", broken)
    (tmp_path / "file").touch()

    found = examine(tmp_path / "file")

    assert [check.name for check in found[:5]] == ["kernel", "namespaces", "file systems", "cgroups", "rights"]
    assert all(check.state == "missing" and "/proc/self/mountinfo" in check.reason for check in found[:5])
    assert [check.name for check in found[5:]] == ["engine root", "container"]
    assert str(tmp_path / "file") in found[5].reason


def test_only_a_container_that_ran_counts() -> None:
    assert can_run([Check("kernel", "missing"), RAN])
    assert not can_run([Check("kernel", "ok"), FAILED])
    assert not can_run([])


def test_lines_are_for_people_and_scripts() -> None:
    assert in_lines([RAN, Check("a longer name", "limited", "why", "mend")]) == [
        "ok      container      cat ran",
        "limited a longer name  why",
        "                       → mend",
    ]


def test_json_has_every_check() -> None:
    assert json.loads(in_json([FAILED])) == {
        "ok": False,
        "checks": [{"name": "container", "state": "missing", "reason": "no", "mend": ""}],
    }
