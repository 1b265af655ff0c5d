"""How a second program in a container ends, and with what: timeouts, limits, the container's own end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from pyrt import (
    OutOfMemory,
    Process,
    ResourceBusy,
    Signalled,
    TimedOut,
    Unsupported,
    WrongState,
)
from pyrt.runtime.wait import wait_readable
from tests.containers import Shell
from tests.execs import idle, says
from tests.hosts import eventually, processes_with, read_until


@pytest.fixture
def running(box: Shell) -> Iterator[Process]:
    """A container that waits, with every kind of rights."""
    with idle(box) as process:
        yield process


def test_a_timeout_kills_all_that_it_has_started(running: Process) -> None:
    mark = f"exec-{os.getpid()}"
    rest = f": {mark}; while :; do sleep 1000; done"
    script = f"setsid sh -c '{rest}' & (setsid sh -c '{rest}' &) ; {rest}"

    done = running.exec_run(["sh", "-c", script], timeout=0.3)

    assert (done.exit_code, done.exit_cause) == (137, TimedOut(0.3))
    assert running.poll() is None
    if running._cgroup.kind != "none":
        eventually(lambda: not processes_with(mark), "what it has started lives on")


@pytest.mark.parametrize("verb", ["kill", "close"])
def test_kill_is_of_it_alone(running: Process, verb: str) -> None:
    with running.exec(["sh", "-c", "sleep 1000 & sleep 1000"]) as second:
        getattr(second, verb)()
        assert second.wait(60) == -signal.SIGKILL
    assert running.exec_run("true").exit_code == 0


def test_signals_reach_it(running: Process) -> None:
    script = "trap 'exit 7' TERM; echo up; while :; do sleep 0.02; done"
    with running.exec(["sh", "-c", script], stdout=subprocess.PIPE) as second:
        read_until(second, b"up")
        second.terminate()
        assert second.wait(60) == 7


def test_usage_is_its_own(running: Process) -> None:
    done = running.exec_run(["sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"])
    small = running.exec_run("/bin/nop")

    assert done.usage is not None and small.usage is not None
    if running._cgroup.kind == "none":
        assert done.usage.cpu_ns is None
        return
    assert done.usage.cpu_ns is not None and small.usage.cpu_ns is not None
    assert small.usage.cpu_ns < done.usage.cpu_ns <= (running.usage().cpu_ns or 0)


@pytest.mark.needs("root")
def test_the_limits_of_the_container_hold_for_it(root_shell: Shell) -> None:
    with idle(root_shell, mem_limit="32m", memswap_limit="32m", pids_limit=10) as process:
        eater = process.exec_run(["tail", "/dev/zero"])
        bomb = process.exec_run(["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.2 & done; wait"])

        is_counted = process._cgroup.kind != "v2"
        cause = OutOfMemory(1, 32 << 20) if is_counted else Signalled(signal.SIGKILL)
        assert (eater.exit_code, eater.exit_cause) == (137, cause)
        assert eater.usage is not None
        assert (process.usage().oom_kills, eater.usage.oom_kills) == ((0, 1) if is_counted else (1, None))
        assert b"fork" in bomb.output
        assert process.poll() is None


@pytest.mark.needs("root", "cgroup_v1")
def test_on_v1_it_shares_what_is_not_passed_down(root_shell: Shell) -> None:
    with idle(root_shell, cpuset_cpus="0", cpu_shares=512) as process:
        where = dict(line.split(":")[1:] for line in says(process, "cat /proc/self/cgroup").splitlines())
        assert says(process, "grep Cpus_allowed_list /proc/self/status").split()[1] == "0"

    assert where["memory"].startswith("/exec-")
    assert where["cpuset"] == "/"


@pytest.mark.needs("root", "cgroup_v2")
def test_not_more_programs_than_the_limit_allows(root_shell: Shell) -> None:
    with root_shell.start("exec sleep 1000", pids_limit=8) as process:
        started: list[Process] = []
        with pytest.raises(ResourceBusy, match="pids_limit"):
            while len(started) < 8:
                started.append(process.exec(["sleep", "1000"]))
        assert process.poll() is None


def test_it_ends_with_the_container(box: Shell) -> None:
    with idle(box) as process:
        second = process.exec(["sleep", "1000"])
        process.terminate()

        assert process.wait(60) == 0
        assert (second.returncode, second.poll()) == (-signal.SIGKILL, -signal.SIGKILL)
        if process._cgroup.kind != "none":
            assert second.usage().cpu_ns


def test_the_end_of_a_container_waits_for_nobody_here(box: Shell) -> None:
    """A process in a pid namespace whose parent is outside, and does not wait, holds its first process up."""
    with idle(box) as process:
        seconds = [process.exec(["sh", "-c", "exit 3"]) for _ in range(3)]
        eventually(lambda: all(wait_readable(each.fileno(), 0) for each in seconds), "they do not end")
        process.terminate()

        eventually(lambda: wait_readable(process.fileno(), 0), "the container does not end")
        assert [second.wait(60) for second in seconds] == [3, 3, 3]


def test_not_in_a_container_that_has_ended(box: Shell) -> None:
    with idle(box) as process:
        process.kill()
        process.wait(60)
        with pytest.raises(WrongState, match="has ended"):
            process.exec_run("true")


def test_not_in_a_container_that_ends_meanwhile(box: Shell) -> None:
    for _ in range(10):
        with idle(box) as process:
            os.kill(process.pid, signal.SIGKILL) if os.geteuid() == 0 else process.kill()
            with pytest.raises(WrongState, match="has ended"):
                while True:
                    process.exec_run("true")


@pytest.mark.needs("root")
def test_not_in_a_container_that_is_paused(root_shell: Shell) -> None:
    with idle(root_shell) as process, process.exec(["sh", "-c", "while :; do :; done"]) as second:
        process.pause()
        with pytest.raises(WrongState, match="paused"):
            process.exec_run("true")
        before = second.usage().cpu_ns
        time.sleep(0.05)
        assert second.usage().cpu_ns == before
        process.unpause()
        assert process.exec_run("true").exit_code == 0
        for verb in (second.pause, second.unpause):
            with pytest.raises(Unsupported):
                verb()


def test_a_detached_one_goes_on_alone(running: Process) -> None:
    mark = f"detached-{os.getpid()}"

    assert running.exec_run(["sh", "-c", f": {mark}; echo lost; while :; do sleep 1000; done"], detach=True) == (
        None,
        b"",
    )

    eventually(lambda: processes_with(mark), "it does not run")
    running.terminate()
    assert running.wait(60) == 0
    assert not processes_with(mark)


def test_what_it_leaves_behind_goes_on(running: Process) -> None:
    mark = f"left-{os.getpid()}"

    assert (
        running.exec_run(
            ["sh", "-c", f"sh -c ': {mark}; while :; do sleep 1000; done' >/dev/null 2>&1 & exit 0"]
        ).exit_code
        == 0
    )

    assert processes_with(mark)
    running.terminate()
    assert running.wait(60) == 0
    assert not processes_with(mark)
