"""User namespaces as the kernel makes them, for root and for an ordinary user."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from pyrt._native.userns import UserNamespace
from pyrt.errors import InvalidOption, SyscallError
from pyrt.oci.spec import IdMapping
from pyrt.runtime.rootless import IdMappings, UserNamespaces, mappings, own_mappings
from tests.users import USER_ID, python_as_user

pytestmark = pytest.mark.needs("userns")
PR_GET_DUMPABLE = 3


@pytest.fixture
def namespaces() -> Iterator[UserNamespaces]:
    with UserNamespaces() as made:
        yield made


def alone() -> IdMappings:
    return IdMappings((IdMapping(0, os.geteuid(), 1),), (IdMapping(0, os.getegid(), 1),))


def inside(descriptor: int, *command: str) -> str:
    """Run a command in a user namespace and give its output."""
    enter = ["nsenter", f"--user=/proc/self/fd/{descriptor}", "--preserve-credentials", *command]
    return subprocess.run(enter, pass_fds=[descriptor], stdout=subprocess.PIPE, text=True, check=True).stdout


def test_the_maps_are_in_effect(namespaces: UserNamespaces) -> None:
    shown = inside(namespaces.get(alone()), "cat", "/proc/self/uid_map", "/proc/self/gid_map")

    assert shown.split() == ["0", str(os.geteuid()), "1", "0", str(os.getegid()), "1"]


def test_a_namespace_is_made_once_for_a_mapping(namespaces: UserNamespaces) -> None:
    assert namespaces.get(alone()) == namespaces.get(alone())


def test_threads_share_one_namespace(namespaces: UserNamespaces) -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(namespaces.get(alone()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len(set(found)) == 1


def test_descriptors_close_on_exec(namespaces: UserNamespaces) -> None:
    assert not os.get_inheritable(namespaces.get(alone()))


def test_closed_namespaces_are_gone() -> None:
    namespaces = UserNamespaces()
    descriptor = namespaces.get(alone())
    namespaces.close()
    namespaces.close()

    with pytest.raises(OSError):
        os.fstat(descriptor)
    with pytest.raises(ValueError, match="closed"):
        namespaces.get(alone())


def test_a_forgotten_one_warns() -> None:
    namespaces = UserNamespaces()
    namespaces.get(alone())

    with pytest.warns(ResourceWarning, match="unclosed"):
        del namespaces


def test_the_process_stays_as_it_was(namespaces: UserNamespaces) -> None:
    libc = ctypes.CDLL(None)
    links = [f"/proc/thread-self/ns/{kind}" for kind in ("user", "mnt", "pid")]
    before = [os.readlink(link) for link in links], libc.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), os.getcwd()

    namespaces.get(alone())

    assert ([os.readlink(link) for link in links], libc.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), os.getcwd()) == before


def test_an_unsealed_namespace_ends_its_child() -> None:
    made = UserNamespace()
    pid = made.pid
    assert os.path.exists(f"/proc/{pid}")
    made.close()
    made.close()

    assert not os.path.exists(f"/proc/{pid}")
    with pytest.raises(ValueError, match="closed"):
        made.write("uid_map", b"0 0 1\n")


_KILLED = """
import os
from pyrt._native.userns import UserNamespace
made = UserNamespace()
print(made.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_the_child_dies_with_its_host() -> None:
    killed = subprocess.run([sys.executable, "-c", _KILLED], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 5

    while is_running(int(killed.stdout)) and time.monotonic() < deadline:
        time.sleep(0.01)

    assert killed.returncode == -9
    assert not is_running(int(killed.stdout))


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_maps_the_kernel_refuses_are_named(namespaces: UserNamespaces) -> None:
    with pytest.raises(InvalidOption) as caught:
        namespaces.get(IdMappings((IdMapping(0, 0, 1), IdMapping(0, 1, 1)), alone().gids))

    assert caught.value.argument == "userns_mode"


def test_a_namespace_with_no_such_file_says_so() -> None:
    made = UserNamespace()
    with pytest.raises(SyscallError) as caught:
        made.write("no_such_map", b"")
    made.close()

    assert caught.value.filename == "no_such_map"


@pytest.mark.needs("root")
def test_root_gets_ids_of_nobody(namespaces: UserNamespaces) -> None:
    shown = inside(namespaces.get(mappings(0, 0)), "cat", "/proc/self/uid_map")

    assert shown.split() == ["0", str(0x6FFF0000), "65536"]


@pytest.mark.needs("newuidmap")
def test_ranges_are_written_by_the_helpers(namespaces: UserNamespaces) -> None:
    wanted = own_mappings()

    lines = inside(namespaces.get(wanted), "cat", "/proc/self/uid_map").splitlines()

    assert wanted.helpers == (os.geteuid() != 0)
    assert [tuple(map(int, line.split())) for line in lines] == [
        (m.container_id, m.host_id, m.size) for m in wanted.uids
    ]


_AS_USER = """
from pyrt.runtime.rootless import IdMappings, UserNamespaces, own_mappings
from pyrt._native.userns import probe_overlay
with UserNamespaces() as namespaces:
    found = own_mappings()
    probe_overlay("/usr", namespaces.get(found))
    print(found.helpers, found.uids[0].host_id, found.uids[0].size)
"""


@pytest.mark.needs("root", "overlay")
def test_an_ordinary_user_mounts_an_overlay_in_its_namespace() -> None:
    assert python_as_user(_AS_USER).split() == ["False", str(USER_ID), "1"]


_REFUSED = """
from pyrt.errors import Unsupported
from pyrt.runtime.rootless import UserNamespaces, own_mappings
try:
    UserNamespaces().get(own_mappings())
except Unsupported as e:
    print(e)
"""


@pytest.mark.needs("root")
def test_a_host_without_user_namespaces_is_told_what_to_set() -> None:
    # Inside a user namespace the limit is this namespace's own, so that nothing of the host changes.
    script = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$0" -c "$1"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-ec", script, sys.executable, _REFUSED],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )

    assert "user.max_user_namespaces is 0" in done.stdout
    assert "sysctl user.max_user_namespaces=16384" in done.stdout
