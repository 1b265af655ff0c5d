"""A second program in a running container: Process.exec and Process.exec_run."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pyrt import (
    CommandError,
    Engine,
    Exited,
    InvalidArgument,
    OutOfMemory,
    Process,
    ResourceBusy,
    Signalled,
    TimedOut,
    Unsupported,
    WrongState,
)
from pyrt.container import ContainerExecutor
from pyrt.runtime.exec import Target
from pyrt.runtime.wait import wait_readable
from tests.containers import Shell
from tests.hosts import eventually, processes_with, read_until

IDLE = "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done"


def idle(shell: Shell, **options: Any) -> Process:
    """Start a container that waits for SIGTERM; it is up when this returns."""
    process = shell.start(IDLE, stdout=subprocess.PIPE, **options)
    read_until(process, b"up\n")
    return process


@pytest.fixture
def running(box: Shell) -> Iterator[Process]:
    """A container that waits, with every kind of rights."""
    with idle(box) as process:
        yield process


def says(process: Process, script: str, **options: Any) -> str:
    """Run a script that must end well; give what it says."""
    code, output = process.exec_run(["sh", "-ec", script], **options)
    assert code == 0, output
    return str(output.decode()).strip()


def test_it_is_in_all_namespaces_of_the_container(running: Process) -> None:
    names = "mnt pid ipc uts net cgroup user"
    look = f"for n in {names}; do readlink /proc/$1/ns/$n; done"

    inside = says(running, f"set -- self; {look}").split()

    assert inside == says(running, f"set -- 1; {look}").split()
    here = [os.readlink(f"/proc/self/ns/{name}") for name in names.split()]
    assert set(inside[:6]).isdisjoint(here)


def test_it_is_not_pid_1(running: Process) -> None:
    with running.exec(["sh", "-c", "echo $$; read x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as second:
        assert int(read_until(second, b"\n")) > 1
        assert os.readlink(f"/proc/{second.pid}/ns/pid") == os.readlink(f"/proc/{running.pid}/ns/pid")
        assert second.communicate(b"end\n", 60) == (b"", None)
    assert second.returncode == 0
    assert running.poll() is None


def test_it_sees_the_same_files(running: Process) -> None:
    says(running, "echo left > /tmp/left")

    assert says(running, "cat /tmp/left") == "left"


def test_code_and_output_as_in_docker_py(running: Process) -> None:
    code, output = running.exec_run("sh -c 'echo out; echo err >&2; exit 3'")
    split = running.exec_run(["sh", "-c", "echo out; exit 3"], demux=True)

    assert (code, output) == (3, b"out\nerr\n")
    assert (split.exit_code, split.output, split.exit_cause) == (3, (b"out\n", None), Exited(3))
    assert running.exec_run("sh -c 'echo out; echo err >&2'", stdout=False).output == b"err\n"
    assert running.exec_run("true").output == b""


def test_a_signal_as_in_a_shell(running: Process) -> None:
    done = running.exec_run(["sh", "-c", "kill -SEGV $$"])

    assert (done.exit_code, done.exit_cause) == (139, Signalled(signal.SIGSEGV))


def test_input(running: Process) -> None:
    assert running.exec_run("cat", input=b"fed").output == b"fed"
    assert running.exec_run("cat").output == b""


def test_its_user(running: Process, box: Shell) -> None:
    look = "echo $(id -u):$(id -g):$(id -G) $HOME"
    assert says(running, look) == "0:0:0 /root"
    if box.is_inside and os.geteuid() != 0 and len(box.engine._rooms.runtime.mappings.uids) == 1:
        pytest.skip("an ordinary user without subordinate ids is alone in the namespace")
    for user in ("app", 1000, "1000"):
        assert says(running, look, user=user) == "1000:1000:1000 2000 /home/app"
    assert says(running, look, user="1000:0") == "1000:0:0 /home/app"
    with pytest.raises(InvalidArgument) as caught:
        running.exec_run("id", user="nobody-of-this-name")
    assert caught.value.argument == "user"


def test_a_user_that_has_come_since(running: Process) -> None:
    says(running, "echo 'late:x:0:0::/late:/bin/sh' >> /etc/passwd")

    assert says(running, "echo $HOME", user="late") == "/late"


def test_its_directory(running: Process) -> None:
    assert says(running, "pwd") == "/"
    assert says(running, "pwd", workdir="/tmp") == "/tmp"
    with pytest.raises(CommandError, match="workdir /none") as caught:
        running.exec_run("true", workdir="/none")
    assert caught.value.exit_code == 126


def test_its_environment(box: Shell) -> None:
    with idle(box, environment={"A": "1", "B": "2"}, working_dir="/tmp") as process:
        assert says(process, "pwd; echo $A$B", environment={"B": "3"}) == "/tmp\n13"
        assert says(process, "echo ${A-none}", environment=["A"]) == "none"
        assert says(process, "hostname; echo $HOSTNAME").split()[0] == says(process, "echo $HOSTNAME")


def test_what_confines_the_container_confines_it(box: Shell) -> None:
    look = "grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status; ulimit -n; cat /proc/self/oom_score_adj"
    options = {"cap_drop": ["CHOWN"], "security_opt": ["no-new-privileges"], "ulimits": {"nofile": (100, 200)}}
    with box.start(f"{look}; echo up; {IDLE}", stdout=subprocess.PIPE, oom_score_adj=500, **options) as process:
        own = read_until(process, b"up\n").decode().partition("up\n")[0]

        assert says(process, look) == own.strip()


def test_privileged(running: Process) -> None:
    look = "grep -E '^(CapEff|Seccomp:)' /proc/self/status"
    usual = says(running, look).split()
    more = says(running, look, privileged=True).split()

    assert (usual[3], more[3]) == ("2", "0")
    assert int(usual[1], 16) < int(more[1], 16)
    assert says(running, look).split() == usual


def test_a_terminal(running: Process) -> None:
    look = 'tty; stty size; echo $TERM; [ -t 0 ] && [ -t 2 ] && read x && echo "<$x>"; exit 4'
    with running.exec(["sh", "-c", look], tty=True, console_size=(30, 90)) as second:
        seen = read_until(second, b"xterm\r\n")
        second.resize(31, 91)
        assert second.stdin is not None
        os.write(second.stdin.fileno(), b"typed\n")
        seen += read_until(second, b"<typed>")
        assert second.wait(60) == 4

    assert seen.replace(b"\r", b"").split()[:4] == [b"/dev/pts/0", b"30", b"90", b"xterm"]
    assert running.exec_run(["sh", "-c", "echo out; echo err >&2"], tty=True).output == b"out\r\nerr\r\n"


def test_the_console_stays_that_of_the_first_program(box: Shell) -> None:
    with box.start("echo up; read x; echo for console > /dev/console; sleep 1000", tty=True) as process:
        read_until(process, b"up")
        assert process.exec_run("tty", tty=True).output == b"/dev/pts/1\r\n"
        assert process.stdin is not None
        os.write(process.stdin.fileno(), b"\n")
        read_until(process, b"for console")


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

        assert (eater.exit_code, eater.exit_cause) == (137, OutOfMemory(1, 32 << 20))
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


@pytest.mark.needs("root")
def test_a_container_of_another_engine(root_shell: Shell) -> None:
    """All that is needed is values: its first process, the name of its cgroup, what its program was started with."""
    with idle(root_shell) as process, Engine(root_shell.engine.root) as other:
        runtime = other._rooms.runtime
        with open(os.pidfd_open(process.pid), "rb") as pidfd:
            cgroup = runtime.layout.adopt(process._cgroup.name)
            target = Target(process.pid, pidfd.fileno(), cgroup)
            executor = process._executor()
            assert isinstance(executor, ContainerExecutor)
            spec = executor.spec(target, ["sh", "-c", "hostname; cat /proc/self/cgroup"], {})
            with runtime.execs.start(target, spec, stdout=subprocess.PIPE) as second:
                said = second.communicate(timeout=60)[0].decode()
            cgroup.close()

        assert said.startswith(says(process, "hostname"))
        assert "/exec-" in said


def test_many_at_once(running: Process) -> None:
    seconds = [running.exec(["sh", "-c", f"echo {n}"], stdout=subprocess.PIPE) for n in range(8)]

    assert [second.communicate(timeout=60)[0] for second in seconds] == [f"{n}\n".encode() for n in range(8)]


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"cmd": "'"}, "cmd"),
        ({"cmd": []}, "args"),
        ({"cmd": [1]}, "args"),
        ({"workdir": "relative"}, "workdir"),
        ({"workdir": "/a\0b"}, "workdir"),
        ({"user": True}, "user"),
        ({"environment": {"": "x"}}, "environment"),
        ({"privileged": 1}, "privileged"),
        ({"tty": "yes"}, "tty"),
        ({"stdout": 1}, "stdout"),
        ({"detach": True, "input": b"x"}, "input"),
        ({"detach": True, "tty": True}, "tty"),
        ({"timeout": -1}, "timeout"),
        ({"output_limit": "lots"}, "output_limit"),
        ({"no_such": 1}, "no_such"),
        ({"console_size": (1, 2, 3)}, "console_size"),
    ],
)
def test_bad_input_is_refused(shell: Shell, arguments: dict[str, Any], argument: str) -> None:
    with idle(shell) as process:
        with pytest.raises(InvalidArgument) as caught:
            process.exec_run(**{"cmd": "true", **arguments})
        assert caught.value.argument == argument


def test_a_program_that_is_not_there(running: Process) -> None:
    for cmd, code in (("no-such-program", 127), ("/etc/passwd", 126)):
        with pytest.raises(CommandError) as caught:
            running.exec_run(cmd)
        assert caught.value.exit_code == code
    assert running.exec_run("true").exit_code == 0


def test_not_within_an_exec(running: Process) -> None:
    with running.exec(["sleep", "1000"]) as second, pytest.raises(WrongState):
        second.exec_run("true")


@pytest.mark.parametrize(
    "options", [{"init": True}, {"network_mode": "host"}, {"ipc_mode": "host"}, {"read_only": True}]
)
def test_in_other_containers(box: Shell, options: dict[str, Any]) -> None:
    with idle(box, **options) as process:
        inside = says(process, "for n in net ipc pid; do readlink /proc/self/ns/$n; done").split()

        assert inside == [os.readlink(f"/proc/{process.pid}/ns/{name}") for name in ("net", "ipc", "pid")]
        assert (inside[0] == os.readlink("/proc/self/ns/net")) == ("network_mode" in options)


@pytest.mark.needs("landlock")
def test_landlock_holds_for_it(box: Shell) -> None:
    with idle(box, landlock={"read_only": ("/",), "read_write": ("/dev",)}) as process:
        assert process.exec_run(["sh", "-c", "echo x > /tmp/file"]).exit_code != 0
        assert process.exec_run(["sh", "-c", "echo x > /tmp/file"], privileged=True).exit_code != 0
        assert process.exec_run(["sh", "-c", "cat /etc/passwd > /dev/null"]).exit_code == 0
