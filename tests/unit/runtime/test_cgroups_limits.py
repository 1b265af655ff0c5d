"""Resources checked and put into files, and what is read back from these."""

from __future__ import annotations

import pytest

from pyrt.errors import InvalidArgument, Unsupported
from pyrt.oci.spec import BlockIO, Cpu, HugepageLimit, Memory, Pids, Resources, ThrottleDevice, WeightDevice
from pyrt.runtime.cgroups.effective import effective
from pyrt.runtime.cgroups.limits import Limit, check, compile_limits
from pyrt.runtime.cgroups.update import earlier_value

MIB = 1 << 20
DISK = (ThrottleDevice(8, 0, 1000),)


def missing(controller: str, option: str) -> Unsupported:
    return Unsupported(option, f"no {controller}")


def files(resources: Resources, version: int) -> dict[str, str]:
    check(resources)
    return {limit.file: limit.value for limit in compile_limits(resources, lambda _: version, missing)}


@pytest.mark.parametrize(
    ("resources", "argument"),
    [
        (Resources(memory=Memory(limit=6 * MIB - 1)), "mem_limit"),
        (Resources(memory=Memory(limit=-2)), "mem_limit"),
        (Resources(memory=Memory(limit=8 * MIB, reservation=9 * MIB)), "mem_reservation"),
        (Resources(memory=Memory(limit=8 * MIB, swap=7 * MIB)), "memswap_limit"),
        (Resources(memory=Memory(swap=7 * MIB)), "memswap_limit"),
        (Resources(memory=Memory(swappiness=101)), "mem_swappiness"),
        (Resources(cpu=Cpu(shares=1)), "cpu_shares"),
        (Resources(cpu=Cpu(period=999)), "cpu_period"),
        (Resources(cpu=Cpu(quota=999)), "cpu_quota"),
        (Resources(cpu=Cpu(quota=5000, burst=5001)), "cpu_burst"),
        (Resources(cpu=Cpu(idle=2)), "cpu_idle"),
        (Resources(cpu=Cpu(cpus="0-")), "cpuset_cpus"),
        (Resources(cpu=Cpu(mems="a")), "cpuset_mems"),
        (Resources(pids=Pids(-2)), "pids_limit"),
        (Resources(block_io=BlockIO(weight=9)), "blkio_weight"),
        (Resources(block_io=BlockIO(weight_device=(WeightDevice(8, 0, 1001),))), "blkio_weight"),
        (Resources(block_io=BlockIO(throttle_write_iops_device=(ThrottleDevice(8, 0, -1),))), "device_write_iops"),
        (Resources(hugepage_limits=(HugepageLimit("2M", 1),)), "hugepageLimits"),
        (Resources(unified={"../memory.max": "1"}), "unified"),
        (Resources(unified={"cgroup.procs": "0"}), "unified"),
        (Resources(unified={"memory.max": ""}), "unified"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(resources: Resources, argument: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check(resources)

    assert caught.value.argument == argument


def test_memory_on_both_versions() -> None:
    resources = Resources(memory=Memory(limit=64 * MIB, swap=96 * MIB, reservation=32 * MIB))

    assert files(resources, 1) == {
        "memory.limit_in_bytes": str(64 * MIB),
        "memory.memsw.limit_in_bytes": str(96 * MIB),
        "memory.soft_limit_in_bytes": str(32 * MIB),
    }
    assert files(resources, 2) == {
        "memory.max": str(64 * MIB),
        "memory.swap.max": str(32 * MIB),
        "memory.low": str(32 * MIB),
    }


def test_cpu_on_both_versions() -> None:
    resources = Resources(cpu=Cpu(shares=1024, quota=5000, period=10000, burst=1000, cpus="0-1", idle=0))

    assert files(resources, 1) == {
        "cpu.shares": "1024",
        "cpu.cfs_period_us": "10000",
        "cpu.cfs_quota_us": "5000",
        "cpu.cfs_burst_us": "1000",
        "cpu.idle": "0",
        "cpuset.cpus": "0-1",
    }
    assert files(resources, 2) == {
        "cpu.weight": "100",
        "cpu.max": "5000 10000",
        "cpu.max.burst": "1000",
        "cpu.idle": "0",
        "cpuset.cpus": "0-1",
    }


def test_block_io_and_huge_pages_on_both_versions() -> None:
    block = BlockIO(weight=500, throttle_read_bps_device=DISK, throttle_write_iops_device=(ThrottleDevice(8, 0, 0),))
    resources = Resources(block_io=block, hugepage_limits=(HugepageLimit("2MB", 4 * MIB),))

    assert files(resources, 1) == {
        "blkio.bfq.weight": "500",
        "blkio.throttle.read_bps_device": "8:0 1000",
        "blkio.throttle.write_iops_device": "8:0 0",
        "hugetlb.2MB.limit_in_bytes": str(4 * MIB),
    }
    limits = compile_limits(resources, lambda _: 2, missing)
    assert [(limit.file, limit.value) for limit in limits] == [
        ("io.bfq.weight", "default 500"),
        ("io.max", "8:0 rbps=1000"),
        ("io.max", "8:0 wiops=max"),
        ("hugetlb.2MB.max", str(4 * MIB)),
    ]


@pytest.mark.parametrize("limit", [0, -1])
def test_no_limit_of_pids_is_max(limit: int) -> None:
    assert files(Resources(pids=Pids(limit)), 1) == files(Resources(pids=Pids(limit)), 2) == {"pids.max": "max"}


def test_zero_is_not_given() -> None:
    nothing = Resources(memory=Memory(0, 0, 0), cpu=Cpu(shares=0, quota=0, period=0), block_io=BlockIO(weight=0))

    assert files(nothing, 1) == files(nothing, 2) == {}


@pytest.mark.parametrize(
    ("resources", "feature"),
    [
        (Resources(memory=Memory(swappiness=0)), "mem_swappiness"),
        (Resources(memory=Memory(disable_oom_killer=True)), "oom_kill_disable"),
        (Resources(cpu=Cpu(realtime_runtime=1000)), "cpu_rt_runtime"),
    ],
)
def test_what_v2_lacks_is_refused(resources: Resources, feature: str) -> None:
    assert files(resources, 1)
    with pytest.raises(Unsupported) as caught:
        files(resources, 2)

    assert caught.value.feature == feature


def test_without_a_controller_only_a_limit_is_refused() -> None:
    assert files(Resources(memory=Memory(limit=-1), pids=Pids(-1)), 0) == {}

    with pytest.raises(Unsupported, match="mem_reservation: no memory"):
        files(Resources(memory=Memory(limit=-1, reservation=8 * MIB)), 0)


def test_unified_files_are_v2s() -> None:
    resources = Resources(unified={"memory.high": "1000", "cgroup.max.depth": "3"})

    assert files(resources, 2) == {"memory.high": "1000", "cgroup.max.depth": "3"}
    with pytest.raises(Unsupported, match="unified"):
        files(resources, 1)


def test_what_is_read_back_has_dockers_names() -> None:
    v1 = {
        "memory.limit_in_bytes": "67108864\n",
        "memory.memsw.limit_in_bytes": "9223372036854771712\n",
        "cpu.cfs_quota_us": "50000\n",
        "cpu.cfs_period_us": "100000\n",
        "pids.max": "max\n",
        "memory.oom_control": "oom_kill_disable 1\nunder_oom 0\noom_kill 0\n",
        "blkio.throttle.read_bps_device": "8:0 1000\n8:16 2000\n",
    }
    v2 = {
        "memory.max": "67108864\n",
        "memory.swap.max": "0\n",
        "cpu.max": "max 100000\n",
        "cpuset.cpus": "0-1\n",
        "io.max": "8:0 rbps=1000 wbps=max riops=max wiops=5\n",
        "io.bfq.weight": "default 500\n8:0 200\n",
        "memory.high": "max\n",
        "hugetlb.2MB.max": "4194304\n",
    }

    assert effective(v1) == {
        "mem_limit": 67108864,
        "cpu_quota": 50000,
        "cpu_period": 100000,
        "cpus": 0.5,
        "oom_kill_disable": True,
        "device_read_bps": {"8:0": 1000, "8:16": 2000},
    }
    assert effective(v2) == {
        "mem_limit": 67108864,
        "memswap_limit": 67108864,
        "cpu_period": 100000,
        "cpuset_cpus": "0-1",
        "device_read_bps": {"8:0": 1000},
        "device_write_iops": {"8:0": 5},
        "blkio_weight": 500,
        "blkio_weight_device": {"8:0": 200},
        "unified:memory.high": "max",
        "hugepage_limit_2MB": 4194304,
    }


@pytest.mark.parametrize(
    ("file", "value", "text", "earlier"),
    [
        ("pids.max", "5", "max\n", "max"),
        ("cpuset.cpus", "0", "\n", "\n"),
        ("memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\n", "0"),
        (
            "io.max",
            "8:0 rbps=1",
            "8:0 rbps=9 wbps=max riops=max wiops=max\n",
            "8:0 rbps=9 wbps=max riops=max wiops=max",
        ),
        ("io.max", "8:0 rbps=1", "8:16 rbps=9 wbps=max riops=max wiops=max\n", "8:0 rbps=max"),
        ("io.bfq.weight", "default 7", "default 100\n8:0 200\n", "default 100"),
        ("io.bfq.weight", "8:0 7", "default 100\n", "8:0 default"),
        ("blkio.throttle.read_bps_device", "8:0 7", "8:0 99\n", "8:0 99"),
        ("blkio.throttle.read_bps_device", "8:0 7", "", "8:0 0"),
    ],
)
def test_an_earlier_value_can_be_written_back(file: str, value: str, text: str, earlier: str) -> None:
    assert earlier_value(Limit(file.partition(".")[0], file, value, "x"), text) == earlier
