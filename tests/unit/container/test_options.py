"""Every option: what a good value does to the Spec, and that a bad one is refused by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from pyrt.container import Draft, Mount, RunOptions, Ulimit, Wishes
from pyrt.errors import InvalidOption
from pyrt.oci.spec import Cpu, Device, DeviceRule, Memory, Pids, Rlimit, Root
from pyrt.oci.spec import Mount as SpecMount
from pyrt.runtime.bundle import File, Landlock
from tests.unit.container.asking import CONTAINER_ID, draft

MIB = 1 << 20
FULL = "net.ipv4.ip_forward"


def mount(made: Draft, destination: str) -> SpecMount:
    return next(m for m in made.spec.mounts if m.destination == destination)


def file(made: Draft, path: str) -> File:
    return next(f for f in made.files if f.path == path)


def namespaces(made: Draft) -> set[str]:
    return {namespace.type for namespace in made.spec.linux.namespaces}


def env(made: Draft) -> dict[str, str]:
    return dict(entry.partition("=")[::2] for entry in made.spec.process.env)


GOOD: list[tuple[dict[str, Any], Callable[[Draft], Any], Any]] = [
    ({"environment": {"A": "1=2", "B": 3}}, lambda d: (env(d)["A"], env(d)["B"]), ("1=2", "3")),
    ({"environment": ["A=", "PATH"]}, lambda d: (env(d)["A"], "PATH" in env(d)), ("", False)),
    ({"working_dir": "/a/./b/../c/"}, lambda d: d.spec.process.cwd, "/a/c"),
    ({"entrypoint": ["/e", "x"]}, lambda d: d.spec.process.args, ("/e", "x", "/bin/nop")),
    ({"entrypoint": "/e 'x y'"}, lambda d: d.spec.process.args, ("/e", "x y", "/bin/nop")),
    ({"stop_signal": "SIGRTMIN+3"}, lambda d: d.stop_signal, 37),
    ({"stop_signal": 9}, lambda d: d.stop_signal, 9),
    ({"init": True}, lambda d: d.init, True),
    ({"tty": True}, lambda d: (d.spec.process.terminal, env(d)["TERM"]), (True, "xterm")),
    ({"console_size": (30, 100)}, lambda d: d.spec.process.console_size, (30, 100)),
    ({"console_size": None}, lambda d: d.spec.process.console_size, None),
    ({"labels": {"a": "b"}}, lambda d: d.spec.annotations, {"a": "b"}),
    ({"labels": ["a", "b=c"]}, lambda d: d.spec.annotations, {"a": "", "b": "c"}),
    ({"hostname": "web.example"}, lambda d: d.spec.hostname, "web.example"),
    ({"domainname": "example"}, lambda d: d.spec.domainname, "example"),
    ({"dns": ["192.0.2.1"]}, lambda d: b"nameserver 192.0.2.1\n" in file(d, "/etc/resolv.conf").content, True),
    ({"dns_search": ["a", "b"]}, lambda d: b"search a b\n" in file(d, "/etc/resolv.conf").content, True),
    ({"dns_search": ["."]}, lambda d: b"search" in file(d, "/etc/resolv.conf").content, False),
    ({"dns_opt": ["ndots:1"]}, lambda d: b"options ndots:1\n" in file(d, "/etc/resolv.conf").content, True),
    ({"extra_hosts": {"db": "192.0.2.7"}}, lambda d: b"192.0.2.7\tdb\n" in file(d, "/etc/hosts").content, True),
    ({"extra_hosts": ["db:::2", "q=[::3]"]}, lambda d: b"::2\tdb\n::3\tq\n" in file(d, "/etc/hosts").content, True),
    ({"mem_limit": "256m"}, lambda d: d.spec.linux.resources.memory, Memory(256 * MIB, swap=512 * MIB)),
    ({"mem_limit": 0}, lambda d: d.spec.linux.resources.memory, None),
    ({"mem_limit": "8m", "memswap_limit": -1}, lambda d: d.spec.linux.resources.memory, Memory(8 * MIB, swap=-1)),
    (
        {"mem_limit": "8m", "memswap_limit": "9m"},
        lambda d: d.spec.linux.resources.memory,
        Memory(8 * MIB, swap=9 * MIB),
    ),
    ({"mem_reservation": "7m"}, lambda d: d.spec.linux.resources.memory, Memory(reservation=7 * MIB)),
    ({"oom_score_adj": 500}, lambda d: d.spec.process.oom_score_adj, 500),
    ({"cpus": 1.5}, lambda d: d.spec.linux.resources.cpu, Cpu(quota=150_000, period=100_000)),
    ({"nano_cpus": 500_000_000}, lambda d: d.spec.linux.resources.cpu, Cpu(quota=50_000, period=100_000)),
    (
        {"cpu_period": 50_000, "cpu_quota": 25_000},
        lambda d: d.spec.linux.resources.cpu,
        Cpu(quota=25_000, period=50_000),
    ),
    ({"cpu_quota": -1}, lambda d: d.spec.linux.resources.cpu, Cpu(quota=-1)),
    ({"cpu_shares": 512}, lambda d: d.spec.linux.resources.cpu, Cpu(shares=512)),
    ({"cpuset_cpus": "0-1,3", "cpuset_mems": "0"}, lambda d: d.spec.linux.resources.cpu, Cpu(cpus="0-1,3", mems="0")),
    ({"pids_limit": 64}, lambda d: d.spec.linux.resources.pids, Pids(64)),
    ({"pids_limit": -1}, lambda d: d.spec.linux.resources.pids, None),
    ({"ulimits": {"nofile": 1024}}, lambda d: d.spec.process.rlimits, (Rlimit("RLIMIT_NOFILE", 1024, 1024),)),
    ({"ulimits": {"nofile": (1, 2)}}, lambda d: d.spec.process.rlimits, (Rlimit("RLIMIT_NOFILE", 1, 2),)),
    ({"ulimits": ["core=0:unlimited"]}, lambda d: d.spec.process.rlimits, (Rlimit("RLIMIT_CORE", 0, -1),)),
    ({"ulimits": [Ulimit("core", 1)]}, lambda d: d.spec.process.rlimits, (Rlimit("RLIMIT_CORE", 1, 1),)),
    ({"volumes": ["/tmp:/a"]}, lambda d: mount(d, "/a"), SpecMount("/a", "bind", "/tmp", ("rbind", "rprivate"))),
    (
        {"volumes": {"/tmp": {"bind": "/a", "mode": "ro"}}},
        lambda d: mount(d, "/a"),
        SpecMount("/a", "bind", "/tmp", ("rbind", "rro", "rprivate")),
    ),
    ({"volumes": {"/tmp": "/a"}}, lambda d: mount(d, "/a").source, "/tmp"),
    ({"volumes": ["name:/a:ro"]}, lambda d: mount(d, "/a"), SpecMount("/a", "volume", "name", ("rro",))),
    ({"volumes": ["/a"]}, lambda d: d.volumes[0].name, None),
    ({"volumes": ["name:/a"], "volume_driver": "other"}, lambda d: d.volumes[0].mount.driver, "other"),
    ({"volumes_from": ["box:ro", "other"]}, lambda d: d.volumes, ()),
    (
        {"mounts": [Mount("/a", "/tmp", "bind", read_only=True, recursive="disabled")]},
        lambda d: mount(d, "/a").options,
        ("bind", "ro", "rprivate"),
    ),
    (
        {"mounts": [Mount("/a", type="tmpfs", tmpfs_size="1m", tmpfs_mode=0o700)]},
        lambda d: mount(d, "/a").options,
        ("noexec", "nosuid", "nodev", "size=1048576", "mode=700"),
    ),
    (
        {"mounts": [Mount("/a", "/no/such/directory", "bind", create_source=True)]},
        lambda d: d.created_sources,
        ("/no/such/directory",),
    ),
    ({"mounts": ["type=bind,src=/tmp,dst=/a,ro"]}, lambda d: mount(d, "/a").options, ("rbind", "rro", "rprivate")),
    (
        {"tmpfs": {"/run": "exec,size=64m"}},
        lambda d: mount(d, "/run"),
        SpecMount("/run", "tmpfs", "tmpfs", ("nosuid", "nodev", "exec", "size=64m")),
    ),
    ({"tmpfs": ["/run"]}, lambda d: mount(d, "/run").options, ("noexec", "nosuid", "nodev")),
    ({"shm_size": "1g"}, lambda d: "size=1073741824" in mount(d, "/dev/shm").options, True),
    ({"storage_opt": {"size": "1g"}}, lambda d: d.scratch_bytes, 1 << 30),
    ({"read_only": True}, lambda d: d.spec.root, Root("rootfs", True)),
    (
        {"devices": ["/dev/null:/dev/hole:rw"]},
        lambda d: [(v.path, v.major, v.minor) for v in d.spec.linux.devices][-1],
        ("/dev/hole", 1, 3),
    ),
    (
        {"devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/hole", "CgroupPermissions": "r"}]},
        lambda d: d.spec.linux.resources.devices[-1],
        DeviceRule(True, "c", 1, 3, "r"),
    ),
    (
        {"device_cgroup_rules": ["b 8:* rw"]},
        lambda d: d.spec.linux.resources.devices[-1],
        DeviceRule(True, "b", 8, None, "rw"),
    ),
    ({"cap_add": ["SYS_TIME"]}, lambda d: "CAP_SYS_TIME" in d.spec.process.capabilities.effective, True),
    ({"cap_drop": ["ALL"]}, lambda d: d.spec.process.capabilities.bounding, frozenset()),
    ({"security_opt": ["no-new-privileges"]}, lambda d: d.spec.process.no_new_privileges, True),
    ({"security_opt": ["no-new-privileges:false"]}, lambda d: d.spec.process.no_new_privileges, False),
    ({"security_opt": ["seccomp=unconfined"]}, lambda d: d.seccomp, b"unconfined"),
    ({"security_opt": ["systempaths=unconfined"]}, lambda d: d.spec.linux.masked_paths, ()),
    ({"security_opt": ["label=disable", "apparmor=unconfined"]}, lambda d: d.seccomp, None),
    ({"security_opt": ["writable-cgroups=true"]}, lambda d: "ro" in mount(d, "/sys/fs/cgroup").options, False),
    ({"masked_paths": ["/a/"]}, lambda d: d.spec.linux.masked_paths, ("/a",)),
    ({"readonly_paths": []}, lambda d: d.spec.linux.readonly_paths, ()),
    ({"sysctls": {FULL: 1}}, lambda d: d.spec.linux.sysctl[FULL], "1"),
    ({"sysctls": {"kernel.shmmax": "65536"}}, lambda d: d.spec.linux.sysctl["kernel.shmmax"], "65536"),
    ({"landlock": {"read_only": ["/usr"]}}, lambda d: d.landlock, Landlock(("/usr",), ())),
    ({"landlock": Landlock((), ("/tmp/",))}, lambda d: d.landlock, Landlock((), ("/tmp",))),
    ({"network_mode": "host"}, lambda d: "network" in namespaces(d), False),
    ({"network_mode": "none"}, lambda d: "network" in namespaces(d), True),
    ({"ipc_mode": "none"}, lambda d: [m for m in d.spec.mounts if m.destination == "/dev/shm"], []),
    ({"ipc_mode": "host"}, lambda d: ("ipc" in namespaces(d), mount(d, "/dev/shm").source), (False, "/dev/shm")),
    ({"pid_mode": "private"}, lambda d: "pid" in namespaces(d), True),
    ({"uts_mode": "host"}, lambda d: ("uts" in namespaces(d), d.spec.hostname), (False, None)),
    ({"cgroupns": "host"}, lambda d: "cgroup" in namespaces(d), False),
    (
        {"userns_mode": "private"},
        lambda d: ("user" in namespaces(d), d.spec.linux.uid_mappings[0].host_id),
        (True, 100000),
    ),
    ({"userns_mode": "host"}, lambda d: "user" in namespaces(d), False),
    ({"cgroup_parent": "/a/b"}, lambda d: d.spec.linux.cgroups_path, f"/a/b/{CONTAINER_ID}"),
    ({"privileged": True}, lambda d: (d.seccomp, "ro" in mount(d, "/sys").options), (b"unconfined", False)),
]


@pytest.mark.parametrize(("options", "effect", "expected"), GOOD, ids=lambda value: str(value)[:60])
def test_a_good_value_takes_effect(options: dict[str, Any], effect: Callable[[Draft], Any], expected: Any) -> None:
    assert effect(draft(options)) == expected


BAD: dict[str, list[Any]] = {
    "environment": ["A=b", {"": "x"}, {"A=B": "x"}, {"A": True}, ["=x"], [1], {"A": "\0"}, {"A": "\ud800"}],
    "working_dir": ["tmp", 3, "/a\0b"],
    "user": [-1, 2**31, True, "a\0"],
    "group_add": ["wheel", [-1], [None], [""]],
    "entrypoint": ["'x", [1], 5],
    "stop_signal": ["SIGNONE", 0, 65, "RTMIN+40", "\N{SUPERSCRIPT TWO}"],
    "init": [1, "yes"],
    "tty": [1],
    "console_size": [(1,), (1, 2, 3), (1, 65536), (-1, 1), "24x80", (24.0, 80), ()],
    "labels": [["=x"], {"a": 1}, "a"],
    "hostname": ["-a", "a_b", "a..b", "x" * 65, 5],
    "domainname": ["a b", "x" * 65],
    "dns": ["192.0.2.1", ["nonsense"], [1]],
    "dns_search": [["a b"], [""], ["a\nnameserver 192.0.2.1"]],
    "dns_opt": [["a\nb"]],
    "extra_hosts": [["db"], {"db": "x"}, {"a b": "::1"}, {"": "::1"}, 3],
    "mem_limit": ["5m", "12x", "m", "1..5m", -1, 1.5, True, "9" * 30, "\N{SUPERSCRIPT TWO}m"],
    "memswap_limit": ["64m", -2],
    "mem_reservation": ["1m"],
    "mem_swappiness": [101, -2, "50"],
    "oom_kill_disable": [1],
    "oom_score_adj": [1001, -1001, "0"],
    "cpus": [0.001, 1e-12, 5, -1, float("nan"), float("inf"), "2", True],
    "nano_cpus": [1, -1, 10**12],
    "cpu_period": [999, 1_000_001, "100000", True],
    "cpu_quota": [999, -2],
    "cpu_shares": [1, 262145],
    "cpuset_cpus": ["0-", "3-1", "4", "a", 0],
    "cpuset_mems": ["1"],
    "cpu_rt_period": [-1],
    "cpu_rt_runtime": [-1],
    "pids_limit": [-2, "64"],
    "ulimits": [
        {"files": 1},
        {"nofile": (2, 1)},
        {"nofile": (1, 2, 3)},
        ["nofile"],
        ["nofile=a"],
        [object()],
        "nofile=1",
    ],
    "blkio_weight": [9, 1001],
    "blkio_weight_device": [["/dev/null:500"], ["/no/such:500"], [{"Path": "/dev/null"}], ["x:10"]],
    "device_read_bps": [["/dev/null:1mb"], ["/no/such:1mb"], ["1mb"]],
    "device_write_bps": [["/dev/null:x"]],
    "device_read_iops": [["/dev/null:1mb"]],
    "device_write_iops": [[{"Path": "/dev/null", "Rate": "1k"}]],
    "volumes": [
        ["/no/such/source:/a"],
        ["/tmp:a"],
        ["/tmp:/"],
        ["/tmp:/a", "/tmp:/a/"],
        ["/tmp:/a:rw,ro"],
        ["/tmp:/a:z"],
        ["/tmp:/a:ro:x"],
        ["./x:/a"],
        [":/a"],
        ["x:/a"],
        ["name:/a:rslave"],
        ["name:/a:nocopy,rshared"],
        ["/tmp:/a:nocopy"],
        {"/tmp": {"mode": "ro"}},
        {"/tmp": {"bind": "/a", "mode": "ro", "ro": True}},
        {"/tmp": {"bind": "/a", "other": 1}},
        "/tmp:/a",
        [5],
    ],
    "volumes_from": [["box:rx"], [""], "box", [5]],
    "volume_driver": [5],
    "mounts": [
        [Mount("/a", "/no/such/source", "bind")],
        [Mount("a", "/tmp", "bind")],
        [Mount("/a", None, "bind")],
        [Mount("/a", "/tmp", "bind", propagation="odd")],
        [Mount("/a", "/tmp", "bind", recursive=cast(Any, "odd"))],
        [Mount("/a", "/tmp", "bind", tmpfs_size=1)],
        [Mount("/a", "/tmp", "tmpfs")],
        [Mount("/a", type="tmpfs", tmpfs_mode=0o10000)],
        ["type=bind,src=/tmp"],
        ["type=odd,dst=/a"],
        [Mount("/a", "..")],
        [Mount("/a", "name", subpath="../up")],
        [Mount("/a", "name", subpath="/etc")],
        [Mount("/a", "name", labels=cast(Any, {"a": 1}))],
        [Mount("/a", "name", tmpfs_size=1)],
        [Mount("/a", "/tmp", "bind", no_copy=True)],
        [Mount("/a", "/tmp", "bind", subpath="x")],
        ["type=volume,src=name,dst=/a,volume-nocopy=perhaps"],
        [{}],
    ],
    "tmpfs": [
        {"run": ""},
        {"/run": "size=x"},
        {"/run": "nonsense"},
        {"/run": "sync"},
        {"/run": "mode=9"},
        {"/run": 5},
        {"/run": "size=1t"},
    ],
    "shm_size": ["x", -1],
    "storage_opt": [{"size": "x"}, {"other": 1}, "1g"],
    "read_only": ["yes"],
    "devices": [
        ["/no/such"],
        ["/dev/full:/dev/a", "/dev/zero:/dev/a"],
        ["/tmp/../etc/passwd"],
        ["/dev/null:/x:rx"],
        ["/dev/null:/x"],
        ["null"],
        [{}],
        ["/a:/b:r:w"],
        "/dev/null",
    ],
    "device_cgroup_rules": [["c 1:3"], ["x 1:3 r"], ["c 1 r"], ["c 1:3 rr"], ["c -1:3 r"]],
    "cap_add": [["NONSENSE"], "SYS_TIME", [5]],
    "cap_drop": [["NONSENSE"]],
    "privileged": [1],
    "security_opt": [["odd"], ["seccomp=/no/such/file"], ["no-new-privileges=maybe"], "no-new-privileges"],
    "masked_paths": [["proc"], "/proc"],
    "readonly_paths": [["proc"]],
    "sysctls": [
        {"kernel.panic": 1},
        {"kernel.hostname": "x"},
        {"kernel.domainname": "x"},
        {"net/ipv4/ip_forward": 1},
        {"net..x": 1},
        {FULL: None},
        {FULL: "\u0661"},
        {FULL: True},
        [FULL],
    ],
    "pull": ["odd", 5],
    "platform": ["a/b/c/d", 5],
    "on_progress": ["odd"],
    "remove": ["yes"],
    "name": ["x", "-x", "of a container that goes"],
    "landlock": [{"odd": []}, {"read_only": ["usr"]}, ["/usr"]],
    "network_mode": [5],
    "ipc_mode": ["odd"],
    "pid_mode": ["odd"],
    "uts_mode": ["odd"],
    "cgroupns": ["odd"],
    "userns_mode": ["odd"],
    "cgroup_parent": ["/a/../..", 5],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_bad_value_is_refused_by_the_name_of_its_option(name: str, value: Any) -> None:
    with pytest.raises(InvalidOption) as caught:
        draft({name: value})

    assert caught.value.argument == name
    assert str(caught.value).startswith(f"{name}: ")


@pytest.mark.parametrize("name", sorted(RunOptions.__optional_keys__))
@pytest.mark.parametrize("value", [object(), b"x", 1j, {1: 2}, [{}], "\0"], ids=repr)
def test_what_no_option_takes_is_refused_by_every_one(name: str, value: Any) -> None:
    with pytest.raises(InvalidOption) as caught:
        draft({name: value})

    assert caught.value.argument == name


def test_the_tables_leave_no_option_out() -> None:
    tried = {name for options, _, _ in GOOD for name in options}
    tested_elsewhere = {"user", "group_add", "mem_swappiness", "oom_kill_disable", "cpu_rt_period", "cpu_rt_runtime"}
    wishes = set(Wishes.__slots__)  # test_wishes.py
    block = {"blkio_weight", "blkio_weight_device"} | {
        f"device_{way}_{unit}" for way in ("read", "write") for unit in ("bps", "iops")
    }

    assert tried | tested_elsewhere | block | wishes == RunOptions.__optional_keys__
    assert BAD.keys() == RunOptions.__optional_keys__


def test_none_is_not_given() -> None:
    assert draft(dict.fromkeys(RunOptions.__optional_keys__)) == draft()


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"cpus": 1, "nano_cpus": 10**9}, "nano_cpus"),
        ({"cpus": 1, "cpu_quota": 5000}, "cpu_quota"),
        ({"nano_cpus": 10**9, "cpu_period": 5000}, "cpu_period"),
        ({"mem_limit": "8m", "memswap_limit": "7m"}, "memswap_limit"),
        ({"mem_limit": "8m", "mem_reservation": "9m"}, "mem_reservation"),
        ({"hostname": "a", "uts_mode": "host"}, "hostname"),
        ({"shm_size": "1m", "ipc_mode": "host"}, "shm_size"),
        ({"sysctls": {FULL: 1}, "network_mode": "host"}, "sysctls"),
        ({"sysctls": {"kernel.sem": 1}, "ipc_mode": "host"}, "sysctls"),
        ({"volumes": ["/tmp:/a"], "tmpfs": ["/a"]}, "tmpfs"),
        ({"memory": "8m"}, "memory"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], argument: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        draft(options)

    assert caught.value.argument == argument


def test_a_misspelt_option_names_the_nearest() -> None:
    with pytest.raises(InvalidOption, match="did you mean mem_limit"):
        draft({"memlimit": "8m"})


def test_a_device_takes_the_place_of_the_default_at_its_path() -> None:
    devices = draft({"devices": ["/dev/zero:/dev/null"]}).spec.linux.devices

    assert [device for device in devices if device.path == "/dev/null"] == [Device("/dev/null", "c", 1, 5)]
    assert len(devices) == 6
