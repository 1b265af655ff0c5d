"""How cgroups are made, shared, killed and removed, on v1 and on v2."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from pyrt._native import cgroup as door
from pyrt.errors import InvalidOption, NameInUse, NotFound, ResourceBusy, SyscallError, Unsupported
from pyrt.oci.spec import Cpu, Memory, Pids, Resources
from pyrt.runtime.cgroups import DEFAULT_DEVICE_RULES, Layout, owner_name, sweep
from tests.cgroup_host import VERSIONS, directories, eventually, layout_of, run, running, text
from tests.oracles import cgroup as twin

MIB = 1 << 20
TOO_MUCH_US = 1 << 60
LEAVE_ORPHAN = """
import os, subprocess, sys
from pyrt.oci.spec import Resources
from pyrt.runtime.cgroups import Layout, owner_name
cgroup = Layout.detect(top=sys.argv[1]).create(owner_name() + "-1", Resources())
for place in cgroup.places:
    with open(place.directory + "/cgroup.procs", "w") as file:
        file.write(sys.argv[2])
print(cgroup.name, flush=True)
os._exit(0)
"""


@pytest.fixture(params=VERSIONS)
def layout(request: pytest.FixtureRequest) -> Iterator[Layout]:
    with layout_of(request.param) as found:
        yield found


def test_kill_ends_what_has_left_its_parent(layout: Layout) -> None:
    with layout.create("kill", Resources()) as cgroup:
        assert run(cgroup, "(setsid sleep 60 & setsid sleep 60 &) </dev/null >/dev/null 2>&1").returncode == 0
        eventually(lambda: len(cgroup.pids()) == 2)

        cgroup.kill()

        assert cgroup.pids() == []


def test_remove_takes_nested_cgroups_and_may_be_repeated(layout: Layout) -> None:
    cgroup = layout.create("nested", Resources())
    for place in cgroup.places:
        os.makedirs(f"{place.directory}/inner/most")

    cgroup.remove()
    cgroup.remove()

    assert directories(layout, "nested") == []


def test_remove_names_the_processes_that_are_left(layout: Layout) -> None:
    with layout.create("busy", Resources()) as cgroup, running(cgroup, "exec sleep 60") as process:
        with pytest.raises(ResourceBusy, match=str(process.pid)):
            cgroup.remove()

        assert cgroup.pids() == [process.pid]


def test_name_in_use_leaves_its_owner_alone(layout: Layout) -> None:
    with layout.create("name", Resources(pids=Pids(3))) as first:
        with pytest.raises(NameInUse):
            layout.create("name", Resources(pids=Pids(9)))

        assert text(first, "pids.max") == "3"


def test_a_refused_limit_leaves_nothing(layout: Layout) -> None:
    with pytest.raises(InvalidOption) as caught:
        layout.create("refused", Resources(memory=Memory(limit=8 * MIB), cpu=Cpu(quota=TOO_MUCH_US)))

    assert caught.value.argument == "cpu_quota"
    assert directories(layout, "refused") == []


def test_cgroup_below_a_parent_of_ones_own(layout: Layout) -> None:
    parent = f"{layout.top}/group/inner"

    with layout.create("child", Resources(pids=Pids(4)), parent=f"/{parent}/") as cgroup:
        assert all(f"/{parent}/child" in place.directory for place in cgroup.places)
        assert text(cgroup, "pids.max") == "4"
        with layout.adopt("child", parent=parent) as again:
            assert {place.directory for place in again.places} == {place.directory for place in cgroup.places}
    for hierarchy in layout.hierarchies:
        for path in (parent, os.path.dirname(parent)):
            if os.path.isdir(f"{hierarchy.base}/{path}"):
                os.rmdir(f"{hierarchy.base}/{path}")


@pytest.mark.needs("root")
def test_below_a_cgroup_with_processes_there_are_no_limits_on_v2(layout: Layout) -> None:
    with layout.create("full", Resources()) as cgroup, running(cgroup, "exec sleep 60"):
        inside = Layout.detect(cgroup_parent=f"{layout.top}/full", top="pyrt-inner")
        with inside.create("child", Resources()) as child:
            assert run(child, "exit 7").returncode == 7
        if layout.kind == "v2":
            with pytest.raises(Unsupported, match=r"controller pids.*holds processes.*cgroup_parent"):
                inside.create("child", Resources(pids=Pids(3)))
        sweep(inside)


def test_adopted_cgroup_is_the_same(layout: Layout) -> None:
    with layout.create("adopted", Resources(pids=Pids(4))) as cgroup, running(cgroup, "exec sleep 60") as process:
        again = layout.adopt("adopted")
        assert again.pids() == [process.pid]
        again.close()

    with pytest.raises(NotFound):
        layout.adopt("adopted")


def test_sweep_clears_what_the_dead_left_and_nothing_else(layout: Layout) -> None:
    with subprocess.Popen(["sleep", "60"]) as left, layout.create(f"{owner_name()}-1", Resources()) as living:
        command = [sys.executable, "-c", LEAVE_ORPHAN, layout.top, str(left.pid)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        orphan = done.stdout.strip()
        assert directories(layout, orphan), done.stderr

        assert sweep(layout, keep=[orphan]) == []
        assert sweep(layout) == [orphan]

        assert left.wait(30) == -signal.SIGKILL
        assert directories(layout, orphan) == []
        assert directories(layout, living.name)


def test_many_at_once_while_another_sweeps(layout: Layout) -> None:
    failures: list[BaseException] = []
    done = threading.Event()

    def work(number: int) -> None:
        try:
            for turn in range(10):
                name = f"{owner_name()}-{number}-{turn}"
                with layout.create(name, Resources(pids=Pids(5), devices=DEFAULT_DEVICE_RULES)) as cgroup:
                    assert cgroup.effective["pids_limit"] == 5
        except BaseException as e:
            failures.append(e)

    def clear() -> None:
        while not done.wait(0.001):
            sweep(layout)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    sweeper = threading.Thread(target=clear)
    for thread in (*threads, sweeper):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    sweeper.join()

    assert failures == []


def test_forgotten_cgroup_warns(layout: Layout) -> None:
    cgroup = layout.create("forgotten", Resources())
    with pytest.warns(ResourceWarning, match="forgotten"):
        cgroup.__del__()

    cgroup.remove()


def test_door_does_what_its_twin_does(layout: Layout) -> None:
    hierarchy = layout.find("pids")
    assert hierarchy is not None
    parent = f"{hierarchy.base}/{layout.top}"
    with layout.create("first", Resources(pids=Pids(2))):
        member = "cgroup.procs"
        order = [
            "d",
            parent,
            "r",
            "pids.max",
            "17",
            "w",
            "pids.max",
            "max",
            "o",
            member,
            "o",
            ".",
            "r",
            "pids.max",
            "5",
        ]
        good = ("\0".join(order) + "\0").encode()
        bad = good + b"w\0pids.max\0nonsense\0"

        for create, remove in ((door.create, door.remove), (twin.create, twin.remove)):
            fds, texts = create(good, b"twin")
            try:
                assert texts == [b"17\n", b"5\n"]
                assert [os.readlink(f"/proc/self/fd/{fd}") for fd in fds] == [
                    f"{parent}/twin/{member}",
                    f"{parent}/twin",
                ]
                assert not any(os.get_inheritable(fd) for fd in fds)
                with pytest.raises(SyscallError) as caught:
                    create(good, b"twin")
                assert (caught.value.step, caught.value.errno) == (1, 17)
            finally:
                for fd in fds:
                    os.close(fd)
                remove(f"{parent}\0".encode(), b"twin")
            with pytest.raises(SyscallError) as caught:
                create(bad, b"twin")
            assert (caught.value.step, caught.value.errno) == (7, 22)
            assert not os.path.exists(f"{parent}/twin")
            remove(f"{parent}\0".encode(), b"twin")
