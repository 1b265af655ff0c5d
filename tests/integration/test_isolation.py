"""Every container has namespaces of its own, and what is in them is Docker's."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.containers import Shell

PRIVATE = ["mnt", "pid", "uts", "ipc", "net", "cgroup"]


def namespaces_of_this_process() -> dict[str, str]:
    return {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in [*PRIVATE, "user"]}


def namespaces_inside(box: Shell, **options: str) -> dict[str, str]:
    links = box.sh(f"for kind in {' '.join(PRIVATE)} user; do readlink /proc/self/ns/$kind; done", **options).split()
    return dict(zip([*PRIVATE, "user"], links, strict=True))


def test_every_namespace_is_new(box: Shell) -> None:
    host, inside = namespaces_of_this_process(), namespaces_inside(box)

    assert [kind for kind in PRIVATE if inside[kind] == host[kind]] == []
    assert (inside["user"] != host["user"]) == box.is_inside


def test_two_containers_share_none(box: Shell) -> None:
    with box.engine.popen(box.image, ["sleep", "60"], **box.options) as other:
        first = {kind: os.readlink(f"/proc/{other.pid}/ns/{kind}") for kind in PRIVATE}
        second = namespaces_inside(box)

    assert [kind for kind in PRIVATE if first[kind] == second[kind]] == []


def test_the_program_is_pid_1_and_sees_no_other(box: Shell) -> None:
    assert box.sh("echo $$; ls -d /proc/[0-9]*").split()[:2] == ["1", "/proc/1"]
    assert box.run("ls", "/proc").stdout.split().count("1") == 1
    assert [name for name in box.run("ls", "/proc").stdout.split() if name.isdecimal()] == ["1"]


def test_only_the_loopback_is_there_and_it_is_up(box: Shell) -> None:
    shown = box.sh("ls /sys/class/net; ip -o addr; ping -c 1 -W 5 127.0.0.1")

    assert shown.split()[0] == "lo"
    assert re.search(r"\binet 127\.0\.0\.1/8\b", shown)
    assert "1 packets received" in shown
    assert set(re.findall(r"^\d+: (\S+)", shown, re.MULTILINE)) == {"lo"}


def test_a_server_on_the_loopback_can_be_reached_from_inside_alone(box: Shell) -> None:
    ask = "for i in $(seq 200); do nc 127.0.0.1 80 </dev/null && break; usleep 20000; done"

    assert box.sh(f"echo hello | nc -l -p 80 127.0.0.1 & {ask}") == "hello"


def test_the_network_of_the_host_on_request(box: Shell) -> None:
    inside = namespaces_inside(box, network_mode="host")

    assert inside["net"] == os.readlink("/proc/self/ns/net")
    assert box.sh("hostname", network_mode="host") == os.uname().nodename


@pytest.mark.parametrize(("option", "kind"), [("uts_mode", "uts"), ("ipc_mode", "ipc"), ("cgroupns", "cgroup")])
def test_the_host_s_other_namespaces_on_request(box: Shell, option: str, kind: str) -> None:
    assert namespaces_inside(box, **{option: "host"})[kind] == os.readlink(f"/proc/self/ns/{kind}")


def test_names(box: Shell) -> None:
    named = box.sh(
        "hostname; cat /proc/sys/kernel/domainname; echo $HOSTNAME", hostname="web-1", domainname="example.org"
    )

    assert named.split() == ["web-1", "example.org", "web-1"]


def test_the_hostname_is_a_container_s_own_id(box: Shell) -> None:
    first, second = box.sh("hostname"), box.sh("hostname")

    assert re.fullmatch("[0-9a-f]{12}", first)
    assert first != second
    assert os.uname().nodename not in (first, second)


def test_names_inside_are_not_the_host_s(box: Shell) -> None:
    before = os.uname().nodename

    box.run("hostname", "taken-over", cap_add=["SYS_ADMIN"])

    assert os.uname().nodename == before


def test_message_queues_and_shared_memory_are_private(box: Shell) -> None:
    with box.engine.popen(box.image, ["sh", "-c", "touch /dev/shm/mine /dev/mqueue/mine; sleep 60"], **box.options):
        assert box.sh("ls /dev/shm /dev/mqueue | grep mine || true") == ""
    assert not os.path.exists("/dev/shm/mine")


def test_the_cgroup_namespace_begins_at_the_container(box: Shell) -> None:
    lines = [line.split(":", 2) for line in box.sh("cat /proc/self/cgroup").splitlines()]
    ours = {line.split(":", 2)[1] for line in Path("/proc/self/cgroup").read_text().splitlines()}

    assert {controllers for _, controllers, _ in lines} == ours
    assert [path for _, _, path in lines if path != "/"] == []


def test_ids_of_a_user_namespace_are_the_engine_s(box: Shell) -> None:
    mapped = [tuple(map(int, line.split())) for line in box.sh("cat /proc/self/uid_map").splitlines()]
    own = [tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]

    assert (mapped != own) == box.is_inside
    assert mapped[0][0] == 0
    if box.is_inside and os.geteuid() == 0:
        assert mapped[0][1] >= 1 << 16
    if box.is_inside and os.geteuid() != 0:
        assert mapped[0] == (0, os.geteuid(), 1)


@pytest.mark.needs("userns")
def test_an_ordinary_user_cannot_do_without_a_user_namespace(shell: Shell) -> None:
    is_own = shell.sh("readlink /proc/self/ns/user") != os.readlink("/proc/self/ns/user")

    assert is_own == (os.geteuid() != 0)


def test_a_process_of_the_host_cannot_be_signalled(box: Shell) -> None:
    with box.engine.popen(box.image, ["sleep", "60"], **box.options) as other:
        assert "No such process" in box.fails(f"kill -9 {other.pid}")
        assert other.poll() is None


def test_mounts_inside_are_not_seen_outside(box: Shell) -> None:
    before = Path("/proc/self/mountinfo").read_text()

    with box.engine.popen(
        box.image, ["sh", "-c", "mount -t tmpfs t /tmp && sleep 60"], cap_add=["SYS_ADMIN"], **box.options
    ):
        assert Path("/proc/self/mountinfo").read_text() == before
