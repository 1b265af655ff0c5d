"""/proc, /dev and /sys are what Docker makes of them, as far as this kernel has the paths."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.containers import Shell

MASKED = """
/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug /proc/scsi
/proc/timer_list /proc/timer_stats /sys/devices/virtual/powercap /sys/firmware
""".split()
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
NODES = {"null": "1,3", "zero": "1,5", "full": "1,7", "random": "1,8", "urandom": "1,9", "tty": "5,0"}
LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}


def present(paths: list[str]) -> list[str]:
    return [path for path in paths if os.path.exists(path)]


def mounts(box: Shell, **options: object) -> dict[str, tuple[set[str], str, set[str]]]:
    """Give the options, type and super options of what is mounted inside, by place."""
    found = {}
    for line in box.sh("cat /proc/self/mountinfo", **options).splitlines():
        left, _, right = line.partition(" - ")
        fields, (kind, _, data) = left.split(), right.split(" ", 2)
        found[fields[4]] = (set(fields[5].split(",")), kind, set(data.split(",")))
    return found


def test_masked_paths_show_nothing(box: Shell) -> None:
    names = " ".join(present(MASKED))

    shown = box.sh(f"for path in {names}; do if [ -d $path ]; then ls -A $path; else cat $path; fi; done")

    assert len(present(MASKED)) > 2
    assert shown == ""


def test_masked_and_read_only_paths_are_all_that_exist(box: Shell) -> None:
    shown = mounts(box)
    thermal = {path for path in shown if re.fullmatch("/sys/devices/system/cpu/cpu[0-9]+/thermal_throttle", path)}
    covered = {path for path in shown if path.startswith(("/proc/", "/sys/"))} - thermal

    assert {path for path in covered if not path.startswith("/sys/fs/cgroup")} == {
        *present(MASKED),
        *present(READ_ONLY),
    }
    assert all("ro" in shown[path][0] for path in present(READ_ONLY))


def test_masks_cannot_be_taken_off(box: Shell) -> None:
    box.fails(f"umount {present(MASKED)[0]}")


def test_system_parameters_cannot_be_written(box: Shell) -> None:
    for path in present(["/proc/sys/vm/drop_caches", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity"]):
        assert "Read-only file system" in box.fails(f"echo 1 > {path}")


def test_all_paths_on_request(box: Shell) -> None:
    shown = mounts(box, security_opt=["systempaths=unconfined"])

    assert not {*MASKED, *READ_ONLY} & shown.keys()


def test_own_lists_of_paths(box: Shell) -> None:
    options = {"masked_paths": ["/etc/os-release", "/home", "/no/such"], "readonly_paths": ["/tmp"]}

    assert box.sh("cat /etc/os-release; ls /home", **options) == ""
    assert "Read-only file system" in box.fails("touch /tmp/x", **options)
    assert box.sh("cat /proc/keys > /dev/null && echo read", **options) == "read"


def test_a_thermal_path_of_each_processor_is_masked(root_or_user: str, box: Shell) -> None:
    there = [str(path) for path in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle")]

    assert {path for path in mounts(box) if "thermal_throttle" in path} == set(there)


def test_nodes_and_links_of_dev(box: Shell) -> None:
    nodes = box.sh(f"cd /dev; stat -c '%n %F %a %t,%T' {' '.join(NODES)}").splitlines()
    links = box.sh(f"cd /dev; for link in {' '.join(LINKS)}; do readlink $link; done").split()
    places = set(box.sh("ls /dev").split())

    assert nodes == [f"{name} character special file 666 {number}" for name, number in NODES.items()]
    assert dict(zip(LINKS, links, strict=True)) == LINKS
    assert places == {*NODES, *LINKS, "pts", "shm", "mqueue"}


def test_devices_work(box: Shell) -> None:
    script = """
    echo x > /dev/null; head -c 3 /dev/zero | od -An -tx1; head -c 4 /dev/urandom | wc -c; head -c 4 /dev/random | wc -c
    echo y > /dev/full
    """
    done = box.run("sh", "-c", script)

    assert done.stdout.split() == ["00", "00", "00", "4", "4"]
    assert "No space left on device" in done.stderr


def test_dev_is_a_small_memory_of_its_own(box: Shell) -> None:
    options, kind, data = mounts(box)["/dev"]

    assert (kind, "nosuid" in options) == ("tmpfs", True)
    assert {"size=65536k", "mode=755"} <= data


def test_terminals_are_the_container_s_own(box: Shell) -> None:
    options, kind, data = mounts(box)["/dev/pts"]

    assert kind == "devpts"
    assert {"nosuid", "noexec"} <= options
    assert {"ptmxmode=666", "mode=620"} <= data
    assert box.sh("ls /dev/pts") == "ptmx"


def test_shared_memory(box: Shell) -> None:
    options, kind, data = mounts(box)["/dev/shm"]

    assert (kind, options >= {"nosuid", "nodev", "noexec"}) == ("tmpfs", True)
    assert "size=65536k" in data
    assert box.sh("stat -c %a /dev/shm") == "1777"


def test_size_of_shared_memory(box: Shell) -> None:
    full = box.fails("dd if=/dev/zero of=/dev/shm/x bs=64k", shm_size="1m")

    assert "No space left on device" in full
    assert "size=1024k" in mounts(box, shm_size="1m")["/dev/shm"][2]


def test_no_shared_memory_on_request(box: Shell) -> None:
    assert "/dev/shm" not in mounts(box, ipc_mode="none")


def test_message_queues(box: Shell) -> None:
    options, kind, _ = mounts(box)["/dev/mqueue"]

    assert (kind, options >= {"nosuid", "nodev", "noexec"}) == ("mqueue", True)
    box.sh("touch /dev/mqueue/q; grep QSIZE:0 /dev/mqueue/q")


@pytest.mark.parametrize("place", ["/proc", "/sys", "/dev/mqueue", "/dev/shm"])
def test_nothing_can_be_executed_there(box: Shell, place: str) -> None:
    assert {"nosuid", "nodev", "noexec"} <= mounts(box)[place][0]


def test_sys_is_read_only(box: Shell) -> None:
    shown = mounts(box)

    assert "ro" in shown["/sys"][0]
    assert shown["/sys"][1] == "sysfs"
    assert "Read-only file system" in box.fails("echo 0 > /sys/kernel/profiling || echo 0 > /sys/kernel/mm/ksm/run")


@pytest.mark.needs("root")
def test_cgroups_are_shown_read_only(box: Shell) -> None:
    groups = {path: mount for path, mount in mounts(box).items() if path.startswith("/sys/fs/cgroup")}

    assert groups
    assert [
        path for path, (options, _, _) in groups.items() if not options >= {"ro", "nosuid", "nodev", "noexec"}
    ] == []
    assert {kind for _, kind, _ in groups.values()} <= {"cgroup", "cgroup2", "tmpfs"}
    assert "Read-only file system" in box.fails("mkdir /sys/fs/cgroup/unified/x 2>&1 || mkdir /sys/fs/cgroup/x")


@pytest.mark.needs("root")
def test_a_container_sees_its_own_limits(root_shell: Shell) -> None:
    files = "/sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max"

    assert root_shell.sh(f"cat {files} 2>/dev/null || true", pids_limit=77) == "77"


@pytest.mark.needs("root")
def test_writable_cgroups_on_request(root_shell: Shell) -> None:
    script = (
        "for place in /sys/fs/cgroup /sys/fs/cgroup/*; do [ -f $place/pids.max ] && mkdir $place/x && echo made; done"
    )
    options = {"pids_limit": 9, "security_opt": ["writable-cgroups=true"]}

    assert root_shell.run("sh", "-c", script, **options).stdout == "made\n"


def test_proc_is_new(box: Shell) -> None:
    options, kind, _ = mounts(box)["/proc"]

    assert kind == "proc"
    assert "rw" in options
    assert box.sh("cat /proc/1/comm") in ("cat", "sh")
