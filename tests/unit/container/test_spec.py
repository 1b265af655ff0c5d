"""What build decides beyond the single option: defaults, users, privileges, and what a host cannot give."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyrt.container import HostFacts, Identity, Mount
from pyrt.errors import InvalidOption, Unsupported
from pyrt.oci.config import ImageConfig
from pyrt.oci.spec import BlockIO, DeviceRule, IdMapping, ThrottleDevice, User, WeightDevice
from pyrt.oci.spec import Mount as SpecMount
from pyrt.runtime.bundle import Bundle
from pyrt.runtime.capabilities import DEFAULT
from tests.unit.container.asking import CONTAINER_ID, HOST, ROOTLESS, draft

V1 = replace(HOST, cgroup="v1")


def test_a_container_is_isolated_by_default() -> None:
    made = draft()
    linux, process = made.spec.linux, made.spec.process

    assert {n.type for n in linux.namespaces} == {"mount", "pid", "network", "ipc", "uts", "cgroup"}
    assert [m.destination for m in made.spec.mounts] == [
        *("/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm"),
    ]
    assert [d.path for d in linux.devices] == [f"/dev/{n}" for n in "null zero full random urandom tty".split()]
    assert linux.resources.devices[0] == DeviceRule(False)
    assert {"/proc/kcore", "/proc/interrupts", "/sys/firmware"} <= set(linux.masked_paths)
    assert "/proc/sys" in linux.readonly_paths
    assert linux.sysctl == {
        "net.ipv4.ping_group_range": "0 2147483647",
        "net.ipv4.ip_unprivileged_port_start": "0",
    }
    assert process.capabilities.effective == process.capabilities.bounding == DEFAULT
    assert process.capabilities.ambient == process.capabilities.inheritable == frozenset()
    assert process.env[0].startswith("PATH=/usr/local/sbin:")
    assert process.env[1:] == (f"HOSTNAME={CONTAINER_ID[:12]}", "HOME=/root")
    assert made.spec.hostname == CONTAINER_ID[:12]
    assert (made.seccomp, made.init, made.stop_signal, made.scratch_bytes) == (None, False, 15, None)


def test_a_draft_becomes_a_bundle() -> None:
    made = draft({"storage_opt": {"size": "1m"}, "init": True})
    mounts = (SpecMount("", "overlay", "overlay", ("lowerdir=/a",)),)

    bundle = made.bundle(mounts)

    assert bundle == Bundle(made.spec, bundle.rootfs, True, None, 15)
    assert (bundle.rootfs.mounts, bundle.rootfs.files, bundle.rootfs.scratch_bytes) == (mounts, made.files, 1 << 20)


@pytest.mark.parametrize(
    ("args", "entrypoint", "expected"),
    [
        (None, None, ("/entry", "cmd")),
        (["a", Path("/b")], None, ("/entry", "a", "/b")),
        ([], None, ("/entry",)),
        (None, ["/other"], ("/other",)),
        (["a"], "", ("a",)),
        (["a"], [], ("a",)),
    ],
)
def test_entrypoint_and_command_combine(args: Any, entrypoint: Any, expected: tuple[str, ...]) -> None:
    config = ImageConfig(entrypoint=("/entry",), cmd=("cmd",))

    assert draft({"entrypoint": entrypoint}, config=config, args=args).spec.process.args == expected


@pytest.mark.parametrize("args", [None, [], [""], "sh -c", b"sh", [5], ["a\0"], 5, {"a"}])
def test_a_command_that_is_none_is_refused(args: Any) -> None:
    with pytest.raises(InvalidOption) as caught:
        draft(args=args)

    assert caught.value.argument == "args"


def test_the_image_says_what_the_caller_does_not() -> None:
    config = ImageConfig(
        env=("PATH=/bin", "A=image", "B=image"), working_dir="/srv", stop_signal="SIGINT", labels={"l": "image"}
    )

    made = draft({"environment": {"A": "caller", "B": None}, "labels": {"m": "caller"}}, config=config)

    assert made.spec.process.env == ("PATH=/bin", f"HOSTNAME={CONTAINER_ID[:12]}", "A=caller", "HOME=/root")
    assert (made.spec.process.cwd, made.stop_signal) == ("/srv", 2)
    assert made.spec.annotations == {"l": "image", "m": "caller"}


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, ("image", ())),
        ({"user": "web:web"}, ("web:web", ())),
        ({"user": 7, "group_add": ["audio", 12]}, ("7", ("audio", "12"))),
        ({"user": ""}, ("", ())),
    ],
)
def test_the_user_is_looked_up(options: dict[str, Any], asked: tuple[str, tuple[str, ...]]) -> None:
    calls = []

    def lookup(user: str, groups: tuple[str, ...]) -> Identity:
        calls.append((user, groups))
        return Identity(User(7, 8, None, (12,)), "/home/web")

    made = draft(options, config=ImageConfig(user="image"), user=lookup)

    assert calls == [asked]
    assert made.spec.process.user == User(7, 8, None, (12,))
    assert "HOME=/home/web" in made.spec.process.env


def test_another_user_than_root_keeps_the_bounding_set_alone() -> None:
    sets = draft({"cap_add": ["NET_ADMIN"]}, user=Identity(User(7))).spec.process.capabilities

    assert sets.bounding == DEFAULT | {"CAP_NET_ADMIN"}
    assert sets.effective == sets.permitted == sets.ambient == sets.inheritable == frozenset()


def test_privileged_has_all_that_the_caller_has() -> None:
    host = replace(HOST, bounding=HOST.bounding - {"CAP_SYS_RESOURCE"})

    made = draft({"privileged": True}, host=host)
    linux = made.spec.linux

    assert made.spec.process.capabilities.effective == host.bounding
    assert linux.masked_paths == linux.readonly_paths == ()
    assert linux.resources.devices == (DeviceRule(True),)
    assert made.seccomp == b"unconfined"
    assert not [m for m in made.spec.mounts if "ro" in m.options]


def test_privileged_brings_the_devices_of_the_host() -> None:
    linux = draft({"privileged": True, "devices": ["/dev/null:/dev/hole", "/dev/null"]}).spec.linux
    paths = [device.path for device in linux.devices]

    assert "/dev/hole" in paths
    assert len(paths) == len(set(paths))
    assert not [path for path in paths if path.startswith(("/dev/pts/", "/dev/shm/"))]


def test_a_profile_is_read_from_its_file(tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')

    made = draft({"security_opt": [f"seccomp={profile}"], "privileged": True})

    assert made.seccomp == profile.read_bytes()


def test_a_capability_that_nobody_has_here_is_refused() -> None:
    host = replace(HOST, bounding=HOST.bounding - {"CAP_SYS_RESOURCE"})

    with pytest.raises(Unsupported, match="CAP_SYS_RESOURCE"):
        draft({"cap_add": ["SYS_RESOURCE"]}, host=host)


@pytest.mark.parametrize(
    "options",
    [
        {"mem_swappiness": 10},
        {"oom_kill_disable": True},
        {"cpu_rt_runtime": 1000},
        {"cpu_rt_period": 1000},
    ],
)
def test_what_cgroup_v2_does_not_have_is_refused_there(options: dict[str, Any]) -> None:
    with pytest.raises(Unsupported) as caught:
        draft(options)

    assert caught.value.feature in options
    assert draft(options, host=V1).spec.linux.resources != draft(host=V1).spec.linux.resources


def test_real_time_cannot_be_longer_than_its_period() -> None:
    with pytest.raises(InvalidOption, match="cpu_rt_runtime"):
        draft({"cpu_rt_runtime": 2, "cpu_rt_period": 1}, host=V1)


@pytest.mark.parametrize(
    "options",
    [
        {"network_mode": "bridge"},
        {"network_mode": "container:a"},
        {"ipc_mode": "shareable"},
        {"ipc_mode": "container:a"},
        {"pid_mode": "host"},
        {"pid_mode": "container:a"},
        {"extra_hosts": {"a": "host-gateway"}},
        {"security_opt": ["label=type:a"]},
        {"security_opt": ["apparmor=a"]},
    ],
)
def test_what_docker_has_and_pyrt_has_not_is_unsupported(options: dict[str, Any]) -> None:
    with pytest.raises(Unsupported):
        draft(options)


def test_a_hard_limit_is_raised_by_the_mighty_alone() -> None:
    weak = replace(HOST, effective=HOST.effective - {"CAP_SYS_RESOURCE"})

    for options in ({"ulimits": {"nofile": (1, 8192)}}, {"ulimits": ["nofile=1:8192"]}):
        assert draft(options).spec.process.rlimits[0].hard == 8192
        with pytest.raises(Unsupported, match=r"nofile.* 4096 here, 8192"):
            draft(options, host=weak)
    assert draft({"ulimits": {"nofile": 4096, "core": -1}}, host=weak).spec.process.rlimits[1].hard == -1


def test_no_privilege_lifts_the_limit_of_open_files_above_the_kernels() -> None:
    with pytest.raises(Unsupported, match=r"fs\.nr_open"):
        draft({"ulimits": {"nofile": -1}})


def test_the_oom_score_is_lowered_by_the_mighty_alone() -> None:
    assert draft({"oom_score_adj": -1}).spec.process.oom_score_adj == -1
    assert draft({"oom_score_adj": 100}, host=ROOTLESS).spec.process.oom_score_adj == 100
    with pytest.raises(Unsupported, match="CAP_SYS_RESOURCE"):
        draft({"oom_score_adj": 99}, host=ROOTLESS)


class TestRootless:
    def test_everything_happens_in_a_user_namespace(self) -> None:
        linux = draft(host=ROOTLESS).spec.linux

        assert "user" in {n.type for n in linux.namespaces}
        assert linux.uid_mappings == linux.gid_mappings == (IdMapping(0, 1000, 1),)
        assert "net.ipv4.ping_group_range" not in linux.sysctl

    def test_devices_are_binds(self) -> None:
        made = draft({"devices": ["/dev/null:/dev/hole"]}, host=ROOTLESS)

        assert made.spec.linux.devices == ()
        assert made.spec.linux.resources.devices == ()
        assert SpecMount("/dev/hole", "bind", "/dev/null", ("bind",)) in made.spec.mounts
        assert SpecMount("/dev/tty", "bind", "/dev/tty", ("bind",)) in made.spec.mounts

    def test_devpts_has_no_group_that_is_not_mapped(self) -> None:
        wide = replace(ROOTLESS, gid_mappings=(IdMapping(0, 1000, 1), IdMapping(1, 100000, 65536)))

        assert [m.options[-1] for m in draft(host=ROOTLESS).spec.mounts if m.type == "devpts"] == ["mode=0620"]
        assert [m.options[-1] for m in draft(host=wide).spec.mounts if m.type == "devpts"] == ["gid=5"]

    def test_sysfs_is_a_bind_on_the_network_of_the_host(self) -> None:
        made = draft({"network_mode": "host"}, host=ROOTLESS)

        assert [(m.type, m.options[0], m.options[-1]) for m in made.spec.mounts if m.destination == "/sys"] == [
            ("bind", "rbind", "rro")
        ]
        assert [m.type for m in draft(host=ROOTLESS).spec.mounts if m.destination == "/sys"] == ["sysfs"]

    @pytest.mark.parametrize(
        "options",
        [
            {"userns_mode": "host"},
            {"device_cgroup_rules": ["c 1:3 r"]},
            {"devices": ["/dev/null:/dev/hole:r"]},
            {"mounts": [Mount("/a", "/tmp", "bind", propagation="rshared")]},
        ],
    )
    def test_what_needs_the_hosts_namespaces_is_unsupported(self, options: dict[str, Any]) -> None:
        with pytest.raises(Unsupported):
            draft(options, host=ROOTLESS)

    def test_without_ids_there_is_no_user_namespace(self) -> None:
        with pytest.raises(Unsupported, match="no ids"):
            draft(host=replace(ROOTLESS, uid_mappings=()))


class TestMounts:
    def test_a_parent_comes_before_what_lies_in_it(self) -> None:
        made = draft({"tmpfs": ["/a/b/c", "/a"], "volumes": ["/tmp:/a/b"]})

        assert [m.destination for m in made.spec.mounts][-3:] == ["/a", "/a/b", "/a/b/c"]

    def test_the_callers_win_over_the_defaults(self) -> None:
        made = draft({"tmpfs": ["/dev/shm"], "volumes": ["/etc/hostname:/etc/hostname"]})

        assert [m.source for m in made.spec.mounts if m.destination == "/dev/shm"] == ["tmpfs"]
        assert "/etc/hostname" not in [f.path for f in made.files]

    def test_an_own_dev_is_left_alone(self) -> None:
        made = draft({"volumes": ["/dev:/dev"]})

        assert [m.destination for m in made.spec.mounts if m.destination.startswith("/dev")] == ["/dev"]
        assert made.spec.linux.devices == ()

    def test_an_old_kernel_makes_read_only_what_it_can(self) -> None:
        old = replace(HOST, kernel=(5, 11))

        made = draft({"volumes": ["/tmp:/a:ro"]}, host=old)

        assert made.spec.mounts[-1].options == ("rbind", "ro", "rprivate")
        with pytest.raises(Unsupported, match=r"5\.12"):
            draft({"mounts": [Mount("/a", "/tmp", "bind", True, recursive="readonly")]}, host=old)

    @pytest.mark.needs("root")
    def test_propagation_needs_a_peer(self) -> None:
        with open("/proc/self/mountinfo", encoding="utf-8") as lines:
            fields = [line.partition(" - ")[0].split(" ") for line in lines]
        private = next(f[4] for f in reversed(fields) if not f[6:] and os.path.isdir(f[4]))

        with pytest.raises(InvalidOption, match="private") as caught:
            draft({"mounts": [Mount("/a", private, "bind", propagation="rslave")]})

        assert caught.value.argument == "mounts"

    def test_a_source_behind_a_file_is_named(self) -> None:
        with pytest.raises(InvalidOption, match="/etc/passwd/x cannot be used: Not a directory"):
            draft({"volumes": ["/etc/passwd/x:/a"]})

    def test_a_sole_cgroupless_host_has_no_cgroup_mount(self) -> None:
        made = draft(host=replace(HOST, cgroup="none"))

        assert "/sys/fs/cgroup" not in [m.destination for m in made.spec.mounts]


class TestNames:
    def test_the_hosts_network_brings_the_hosts_names(self) -> None:
        made = draft({"network_mode": "host"})

        assert made.spec.hostname == os.uname().nodename
        assert next(f for f in made.files if f.path == "/etc/hosts").content == Path("/etc/hosts").read_bytes()

    def test_hosts_has_the_full_and_the_short_name(self) -> None:
        made = draft({"hostname": "web", "domainname": "example"})

        hosts = next(f for f in made.files if f.path == "/etc/hosts").content.decode()

        assert hosts.startswith("127.0.0.1\tlocalhost\n::1\t")
        assert hosts.endswith("127.0.1.1\tweb.example web\n")

    def test_name_servers_on_the_hosts_loopback_are_left_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        theirs = "# theirs\nnameserver 127.0.0.53\nnameserver\t192.0.2.1\nnameserver ::1\nsearch a\noptions edns0\n"
        monkeypatch.setattr("pyrt.container.etc._read", lambda path: theirs)

        def content(**options: Any) -> str:
            return next(f for f in draft(options).files if f.path == "/etc/resolv.conf").content.decode()

        assert content() == "nameserver\t192.0.2.1\nsearch a\noptions edns0\n"
        assert content(network_mode="host").startswith("nameserver 127.0.0.53\n")
        assert content(dns=["192.0.2.9"], dns_search=["."], dns_opt=["ndots:1"]) == (
            "nameserver 192.0.2.9\noptions ndots:1\n"
        )


@pytest.mark.needs("root")
def test_block_devices_are_limited_by_their_numbers(tmp_path: Path) -> None:
    disk = str(tmp_path / "disk")
    os.mknod(disk, stat.S_IFBLK | 0o600, os.makedev(7, 200))

    made = draft(
        {
            "blkio_weight": 500,
            "blkio_weight_device": [f"{disk}:100", {"Path": disk, "Weight": 200}],
            "device_read_bps": [f"{disk}:1mb"],
            "device_write_bps": [{"Path": disk, "Rate": "1k"}],
            "device_read_iops": [f"{disk}:10"],
            "device_write_iops": [{"Path": disk, "Rate": 20}],
            "devices": [f"{tmp_path}:/dev/disks:r"],
        }
    )

    assert made.spec.linux.resources.block_io == BlockIO(
        500,
        (WeightDevice(7, 200, 100), WeightDevice(7, 200, 200)),
        (ThrottleDevice(7, 200, 1 << 20),),
        (ThrottleDevice(7, 200, 1024),),
        (ThrottleDevice(7, 200, 10),),
        (ThrottleDevice(7, 200, 20),),
    )
    assert [d.path for d in made.spec.linux.devices][-1] == "/dev/disks/disk"
    assert made.spec.linux.resources.devices[-1] == DeviceRule(True, "b", 7, 200, "r")


def test_the_facts_of_this_host_are_read() -> None:
    facts = HostFacts.read((IdMapping(0, 1, 1),), (IdMapping(0, 2, 1),))

    assert (facts.uid, facts.gid) == (os.geteuid(), os.getegid())
    assert facts.kernel >= (4, 0)
    assert facts.effective <= facts.known
    assert facts.hard_limits.keys() >= {"RLIMIT_NOFILE", "RLIMIT_RTTIME"}
    assert facts.cpus
    assert facts.uid_mappings == (IdMapping(0, 1, 1),)
    assert draft(host=facts).spec.process.args == ("/bin/nop",)
