"""Limits, usage and freezing on the kernel of this host. The same tests on v1 and on v2."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrt.errors import InvalidOption, Unsupported
from pyrt.oci.spec import BlockIO, Cpu, DeviceRule, Memory, Pids, Resources, ThrottleDevice
from pyrt.runtime.cgroups import DEFAULT_DEVICE_RULES, Layout
from tests.cgroup_host import VERSIONS, directories, eventually, layout_of, run, running, text

MIB = 1 << 20
TOO_MUCH_US = 1 << 60
SPIN = "while :; do :; done"


@pytest.fixture(params=VERSIONS)
def layout(request: pytest.FixtureRequest) -> Iterator[Layout]:
    with layout_of(request.param) as found:
        yield found


def test_limits_are_in_force_as_the_kernel_rounds_them(layout: Layout) -> None:
    asked = Resources(
        memory=Memory(limit=64 * MIB + 1, reservation=32 * MIB), pids=Pids(7), cpu=Cpu(quota=5000, period=10000)
    )

    with layout.create("limits", asked) as cgroup:
        assert text(cgroup, "memory.limit_in_bytes", "memory.max") == str(64 * MIB)
        assert text(cgroup, "pids.max") == "7"
        expected = {"mem_limit": 64 * MIB, "mem_reservation": 32 * MIB, "pids_limit": 7, "cpus": 0.5}
        assert expected.items() <= dict(cgroup.effective).items()
        assert (cgroup.effective["cpu_quota"], cgroup.effective["cpu_period"]) == (5000, 10000)

    assert directories(layout, "limits") == []


def test_swap_counts_with_memory(layout: Layout) -> None:
    with layout.create("swap", Resources(memory=Memory(limit=16 * MIB, swap=24 * MIB))) as cgroup:
        assert cgroup.effective["memswap_limit"] == 24 * MIB


def test_out_of_memory_is_counted(layout: Layout) -> None:
    with layout.create("oom", Resources(memory=Memory(limit=12 * MIB, swap=12 * MIB))) as cgroup:
        assert cgroup.oom_kills() == 0

        done = run(cgroup, "exec tail /dev/zero")

        assert done.returncode == -signal.SIGKILL
        assert cgroup.oom_kills() == cgroup.usage().oom_kills == 1
        assert 8 * MIB < (cgroup.usage().memory_peak_bytes or 0) <= 12 * MIB


def test_pids_limit_stops_a_fork(layout: Layout) -> None:
    with layout.create("pids", Resources(pids=Pids(1))) as cgroup:
        done = run(cgroup, "(:) && echo forked")

    assert "forked" not in done.stdout
    assert done.returncode != 0


def test_frozen_processes_use_no_time_until_thawed(layout: Layout) -> None:
    with layout.create("freezer", Resources()) as cgroup, running(cgroup, SPIN):
        eventually(lambda: (cgroup.usage().cpu_ns or 0) > 1_000_000)

        cgroup.freeze()
        frozen = cgroup.usage().cpu_ns
        time.sleep(0.05)
        assert cgroup.usage().cpu_ns == frozen

        cgroup.thaw()
        eventually(lambda: (cgroup.usage().cpu_ns or 0) > (frozen or 0))


def test_frozen_processes_can_be_killed(layout: Layout) -> None:
    with layout.create("cold", Resources()) as cgroup, running(cgroup, SPIN) as process:
        cgroup.freeze()
        cgroup.kill()

        assert process.wait(30) == -signal.SIGKILL


@pytest.mark.needs("root")
def test_dockers_list_of_devices_is_enforced(layout: Layout) -> None:
    with layout.create("devices", Resources(devices=DEFAULT_DEVICE_RULES)) as cgroup:
        assert cgroup.effective["device_cgroup"] is True
        assert run(cgroup, "exec 3<>/dev/zero 4<>/dev/null").returncode == 0
        denied = run(cgroup, "exec 3</dev/kmsg")

    assert "ermitted" in denied.stderr


@pytest.mark.needs("root")
def test_a_list_of_ones_own_is_enforced(layout: Layout) -> None:
    rules = (DeviceRule(False), DeviceRule(True, "c", 1, 3), DeviceRule(True, "c", 1, 11, "r"))

    with layout.create("own-list", Resources(devices=rules)) as cgroup:
        assert run(cgroup, "exec 3</dev/null 4</dev/kmsg").returncode == 0
        denied = run(cgroup, "exec 3</dev/zero")

    assert "ermitted" in denied.stderr


@pytest.mark.needs("root")
def test_without_rules_every_device_is_open(layout: Layout) -> None:
    with layout.create("open", Resources()) as cgroup:
        assert cgroup.effective["device_cgroup"] is False
        assert run(cgroup, "exec 3</dev/kmsg").returncode == 0


def test_devices_are_enforced_or_reported(layout: Layout) -> None:
    own = (DeviceRule(False), DeviceRule(True, "c", 1, 3))
    with layout.create("report", Resources(devices=DEFAULT_DEVICE_RULES)) as cgroup:
        enforced = cgroup.effective["device_cgroup"]

    assert enforced is (os.geteuid() == 0)
    if not enforced:
        with pytest.raises(Unsupported, match="device_cgroup_rules"):
            layout.create("refused", Resources(devices=own))


def test_limits_of_a_running_container_change(layout: Layout) -> None:
    start_with = Resources(memory=Memory(limit=32 * MIB, swap=32 * MIB), pids=Pids(5))
    with layout.create("update", start_with) as cgroup, running(cgroup, "exec sleep 60"):
        for limit in (64 * MIB, 16 * MIB):
            cgroup.update(Resources(memory=Memory(limit=limit, swap=limit + MIB), pids=Pids(-1)))

            assert (cgroup.effective["mem_limit"], cgroup.effective["memswap_limit"]) == (limit, limit + MIB)
        assert "pids_limit" not in cgroup.effective
        assert text(cgroup, "pids.max") == "max"


def test_an_update_takes_all_or_nothing(layout: Layout) -> None:
    with layout.create("atomic", Resources(memory=Memory(limit=32 * MIB), pids=Pids(5), cpu=Cpu(quota=5000))) as cgroup:
        before = dict(cgroup.effective)

        with pytest.raises(InvalidOption) as caught:
            cgroup.update(Resources(memory=Memory(limit=16 * MIB), cpu=Cpu(shares=512, quota=TOO_MUCH_US)))

        assert caught.value.argument == "cpu_quota"
        assert dict(cgroup.effective) == before
        assert text(cgroup, "memory.limit_in_bytes", "memory.max") == str(32 * MIB)
        assert text(cgroup, "cpu.shares", "cpu.weight") in ("1024", "100")


def test_an_update_brings_running_processes_below_a_new_limit(layout: Layout) -> None:
    with layout.create("late", Resources()) as cgroup, running(cgroup, "sleep 60 & exec sleep 60") as process:
        eventually(lambda: len(cgroup.pids()) == 2)

        cgroup.update(Resources(cpu=Cpu(quota=5000, period=50000)))

        assert cgroup.effective["cpus"] == 0.1
        assert text(cgroup, "cpu.cfs_quota_us", "cpu.max") in ("5000", "5000 50000")
        assert "/late" in "".join(
            line
            for line in Path(f"/proc/{process.pid}/cgroup").read_text().splitlines(True)
            if ":cpu" in line or "0::" in line
        )


def test_devices_do_not_change_later(layout: Layout) -> None:
    with layout.create("fixed", Resources()) as cgroup, pytest.raises(InvalidOption, match="device_cgroup_rules"):
        cgroup.update(Resources(devices=DEFAULT_DEVICE_RULES))


@pytest.mark.needs("root")
def test_cpuset_is_filled_from_the_parent(layout: Layout) -> None:
    with layout.create("cpuset", Resources(cpu=Cpu(cpus="0"))) as cgroup:
        done = run(cgroup, "grep Cpus_allowed_list /proc/self/status")

        assert done.stdout.split()[-1] == "0"
        assert cgroup.effective["cpuset_cpus"] == "0"


@pytest.mark.needs("root")
def test_rates_of_a_device_are_set_and_taken_away(layout: Layout) -> None:
    disk = next((path for path in Path("/sys/block").iterdir() if not path.name.startswith(("zram", "ram"))), None)
    assert disk is not None, "this host has no block device to limit"
    major, minor = map(int, (disk / "dev").read_text().split(":"))
    limited = BlockIO(throttle_read_bps_device=(ThrottleDevice(major, minor, MIB),))
    free = BlockIO(throttle_read_bps_device=(ThrottleDevice(major, minor, 0),))

    with layout.create("disk", Resources(block_io=limited)) as cgroup:
        assert cgroup.effective["device_read_bps"] == {f"{major}:{minor}": MIB}
        cgroup.update(Resources(block_io=free))
        assert "device_read_bps" not in cgroup.effective


def test_usage_has_what_was_used(layout: Layout) -> None:
    with layout.create("usage", Resources(memory=Memory(limit=64 * MIB))) as cgroup:
        assert run(cgroup, "head -c 1000000 /dev/zero >/dev/null").returncode == 0
        usage = cgroup.usage()

        assert usage.pids == 0
        assert usage.oom_kills == 0
        assert 0 < (usage.cpu_ns or 0) < 60_000_000_000
        assert 0 < (usage.memory_peak_bytes or 0) <= 64 * MIB
        with running(cgroup, "exec sleep 60"):
            assert cgroup.usage().pids == 1
            assert (cgroup.usage().memory_bytes or 0) > 0
