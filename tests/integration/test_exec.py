"""A second program in a running container: Process.exec and Process.exec_run."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from pyrt import (
    CommandError,
    Engine,
    Exited,
    InvalidArgument,
    Process,
    Signalled,
    WrongState,
)
from pyrt.container import ContainerExecutor
from pyrt.runtime.exec import Target
from tests.containers import Shell
from tests.execs import IDLE, idle, says
from tests.hosts import read_until

WHO = "echo $(id -u):$(id -g):$(id -G) $HOME"


@pytest.fixture
def running(box: Shell) -> Iterator[Process]:
    """A container that waits, with every kind of rights."""
    with idle(box) as process:
        yield process


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


def test_its_user(running: Process) -> None:
    assert says(running, WHO) == "0:0:0 /root"
    with pytest.raises(InvalidArgument) as caught:
        running.exec_run("id", user="nobody-of-this-name")
    assert caught.value.argument == "user"


@pytest.mark.needs("other_ids")
def test_another_user(running: Process) -> None:
    for user in ("app", 1000, "1000"):
        assert says(running, WHO, user=user) == "1000:1000:1000 2000 /home/app"
    assert says(running, WHO, user="1000:0") == "1000:0:0 /home/app"


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
