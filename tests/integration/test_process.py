"""popen(): a running container with subprocess.Popen's manners, terminals, threads and forks of the host program."""

from __future__ import annotations

import gc
import os
import select
import signal
import subprocess
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pyrt import Cancelled, Engine, Exited, InvalidArgument, Process, PyrtError, Signalled, WrongState
from tests.integration.conftest import Shell
from tests.integration.test_run_api import processes_in, run_python

PIPE = subprocess.PIPE


def start(shell: Shell, script: str, **options: Any) -> Process:
    return shell.engine.popen(shell.image, ["sh", "-c", script], **{**shell.options, **options})


def read_until(process: Process, wanted: bytes) -> bytes:
    assert process.stdout is not None
    seen = b""
    while wanted not in seen:
        ready, _, _ = select.select([process.stdout], [], [], 60)
        assert ready, f"only {seen!r} came"
        seen += os.read(process.stdout.fileno(), 4096)
    return seen


def test_a_conversation(shell: Shell) -> None:
    script = "while read line; do echo \"<$line>\"; done; echo end"
    with start(shell, script, stdin=PIPE, stdout=PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("one\n")
        assert process.stdout.readline() == "<one>\n"
        process.stdin.write("two\n")
        assert process.stdout.readline() == "<two>\n"
        process.stdin.close()
        assert process.stdout.read() == "end\n"
        assert process.wait(60) == 0

    assert process.exit_cause == Exited(0)


def test_poll_and_wait(shell: Shell) -> None:
    with start(shell, "read go; exit 5", stdin=PIPE) as process:
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
        process.communicate(b"go\n")
        assert [process.returncode, process.poll(), process.wait(), process.wait(1)] == [5] * 4
        assert process.fileno() == -1


def test_the_pidfd_says_when_it_is_over(shell: Shell) -> None:
    with start(shell, "read go", stdin=PIPE) as process:
        assert select.select([process], [], [], 0)[0] == []
        assert process.stdin is not None
        process.stdin.close()
        assert select.select([process], [], [], 60)[0] == [process]


def test_communicate(shell: Shell) -> None:
    with start(shell, "cat; echo wrong >&2", stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
        assert process.communicate(b"given", timeout=60) == (b"given", b"wrong\n")
    with start(shell, "cat", stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.communicate("ä", timeout=60) == ("ä", None)


def test_communicate_after_a_timeout_loses_nothing(shell: Shell) -> None:
    script = "echo first; while ! [ -e /go ]; do sleep 0.02; done; echo second"
    with start(shell, script, stdout=PIPE) as process:
        read = b""
        while not read:
            with pytest.raises(subprocess.TimeoutExpired) as caught:
                process.communicate(timeout=0.1)
            read = caught.value.output or b""
        assert read == b"first\n"
        Path(f"/proc/{process.pid}/root/go").touch()
        assert process.communicate(timeout=60) == (b"first\nsecond\n", None)


def test_communicate_after_a_timeout_goes_on_sending(shell: Shell) -> None:
    with start(shell, "while ! [ -e /go ]; do sleep 0.02; done; wc -c", stdin=PIPE, stdout=PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(b"x" * (1 << 20), timeout=0.1)
        Path(f"/proc/{process.pid}/root/go").touch()
        assert process.communicate(timeout=60) == (b"%d\n" % (1 << 20), None)


def test_communicate_sends_what_was_written_before_and_reads_what_is_left(shell: Shell) -> None:
    with start(shell, "cat", stdin=PIPE, stdout=PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"first, ")
        assert process.communicate(b"second", timeout=60) == (b"first, second", None)
    with start(shell, "echo all", stdout=PIPE) as process:
        process.wait(60)
        assert process.communicate() == (b"all\n", None)


def test_signals(shell: Shell) -> None:
    script = "trap 'echo got; exit 7' USR1; echo ready; while :; do sleep 0.02; done"
    with start(shell, script, stdout=PIPE) as process:
        read_until(process, b"ready\n")
        process.send_signal(signal.SIGUSR1)
        assert process.wait(60) == 7

    assert process.exit_cause == Exited(7)
    process.send_signal(signal.SIGUSR1)


def test_terminate_sends_the_stop_signal(shell: Shell) -> None:
    script = "trap 'exit 3' TERM; trap 'exit 4' QUIT; echo ready; while :; do sleep 0.02; done"
    for options, code in (({}, 3), ({"stop_signal": "SIGQUIT"}, 4)):
        with start(shell, script, stdout=PIPE, **options) as process:
            read_until(process, b"ready\n")
            process.terminate()
            assert process.wait(60) == code


def test_an_init_passes_signals_on_and_reaps(shell: Shell) -> None:
    with shell.engine.popen(shell.image, ["sleep", "1000"], init=True) as process:
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM

    shown = shell.sh("echo $$; (setsid sleep 0.05 &) ; sleep 0.5; ps | grep -c '[Zz]ombie\\|\\[sleep\\]' || true", init=True)
    assert shown.split() == ["2", "0"]


def test_leaving_the_block_ends_all(shell: Shell) -> None:
    with start(shell, "setsid sleep 1000 & sleep 1000") as process:
        namespace = os.readlink(f"/proc/{process.pid}/ns/pid")

    assert process.exit_cause == Cancelled(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert processes_in(namespace) == []


def test_closing_the_engine_ends_all(public_directory: Any, image: str, root_or_user: str, tmp_path: Any) -> None:
    with Engine(public_directory / f"closing-{os.getpid()}") as engine:
        processes = [engine.popen(image, ["sleep", "1000"]) for _ in range(3)]
    engine.close()

    assert [process.returncode for process in processes] == [-signal.SIGKILL] * 3
    with pytest.raises(PyrtError, match="closed"):
        engine.run(image, ["true"])


def test_closing_the_engine_while_another_thread_waits(public_directory: Any, image: str, root_or_user: str) -> None:
    engine = Engine(public_directory / f"waiting-{os.getpid()}")
    results: list[int] = []
    started = threading.Event()

    def wait() -> None:
        results.append(engine.run(image, ["sh", "-c", "echo; sleep 1000"], on_stdout=lambda _: started.set()).returncode)

    thread = threading.Thread(target=wait)
    thread.start()
    assert started.wait(60)
    engine.close()
    thread.join(60)

    assert results == [-signal.SIGKILL]


def test_a_forgotten_process_warns_and_ends(shell: Shell) -> None:
    process = start(shell, "sleep 1000")
    pid = process.pid
    shell.engine._running.discard(process)

    with pytest.warns(ResourceWarning, match="still running"):
        del process
        gc.collect()
    assert not os.path.exists(f"/proc/{pid}")


def test_a_forgotten_engine_warns(public_directory: Any, root_or_user: str) -> None:
    engine = Engine(public_directory / f"forgotten-{os.getpid()}")

    with pytest.warns(ResourceWarning, match="not closed"):
        del engine
        gc.collect()


def test_usage_while_it_runs_and_after(shell: Shell) -> None:
    with start(shell, "echo ready; read go", stdin=PIPE, stdout=PIPE) as process:
        read_until(process, b"ready\n")
        during = process.usage()
    after = process.usage()

    assert process.usage() is after
    if os.geteuid() == 0:
        assert 0 < (during.cpu_ns or 0) <= (after.cpu_ns or 0)
        assert (during.memory_bytes or 0) > 0


def test_a_terminal(shell: Shell) -> None:
    script = "tty; stty size; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all; ls -l /dev/console | cut -c1; echo $TERM; read x; echo \"<$x>\""
    with start(shell, script, tty=True) as process:
        seen = read_until(process, b"xterm")
        assert process.stdin is not None and process.stderr is None
        os.write(process.stdin.fileno(), b"typed\n")
        seen += read_until(process, b"<typed>")
        assert process.wait(60) == 0

    assert seen.replace(b"\r", b"").split()[:6] == [b"/dev/pts/0", b"24", b"80", b"all", b"c", b"xterm"]


def test_a_terminal_as_a_result(shell: Shell) -> None:
    assert shell.run("sh", "-c", "echo out; echo err >&2", tty=True, text=None).stdout == b"out\r\nerr\r\n"


@pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
def test_what_is_on_a_terminal_goes_nowhere_else(shell: Shell, stream: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        shell.run("true", tty=True, **{stream: subprocess.DEVNULL})

    assert caught.value.argument == stream


def test_a_terminal_changes_its_size(shell: Shell) -> None:
    script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.02; done"
    with start(shell, script, tty=True) as process:
        read_until(process, b"ready")
        process.resize(40, 132)
        assert b"40 132" in read_until(process, b"40 132")
        for rows, columns in ((-1, 80), (24, 1 << 16)):
            with pytest.raises(InvalidArgument):
                process.resize(rows, columns)


def test_ctrl_c_on_a_terminal(shell: Shell) -> None:
    with start(shell, "trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.02; done", tty=True) as process:
        read_until(process, b"ready")
        assert process.stdin is not None
        os.write(process.stdin.fileno(), b"\x03")
        read_until(process, b"interrupted")
        assert process.wait(60) == 9


def test_no_terminal_no_size(shell: Shell) -> None:
    with start(shell, "sleep 1000") as process, pytest.raises(WrongState):
        process.resize(24, 80)


def test_many_threads_at_once(shell: Shell) -> None:
    def one(number: int) -> tuple[int, str]:
        done = shell.run("sh", "-c", f"echo {number}; exit {number}")
        return done.returncode, done.stdout

    with ThreadPoolExecutor(64) as pool:
        found = list(pool.map(one, range(128)))

    assert found == [(number, f"{number}\n") for number in range(128)]


def test_a_process_waited_for_by_many_threads(shell: Shell) -> None:
    with start(shell, "sleep 0.2; exit 6") as process, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: process.wait(60), range(8))) == [6] * 8


FORKED = """
import os, sys
from pyrt import Engine, PyrtError
root, image = sys.argv[1:]
with Engine(root) as engine, engine.popen(image, ["sleep", "1000"]) as running:
    pid = os.fork()
    if pid == 0:
        try:
            engine.run(image, ["true"])
            os._exit(1)
        except PyrtError:
            pass
        engine.close()
        del running
        with Engine(root) as own:
            code = own.run(image, ["sh", "-c", "exit 42"]).returncode
        os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 42, status
    assert running.poll() is None
    assert engine.run(image, ["true"]).returncode == 0
print("ok")
"""
DEFAULT_FORKED = """
import os, sys
os.environ["PYRT_ROOT"] = sys.argv[1]
import pyrt
assert pyrt.run(sys.argv[2], ["true"]).returncode == 0
pid = os.fork()
if pid == 0:
    os._exit(pyrt.run(sys.argv[2], ["sh", "-c", "exit 42"]).returncode)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42
assert pyrt.run(sys.argv[2], ["true"]).returncode == 0
print("ok")
"""
REAPER = """
import os, signal, sys, threading, time
from pyrt import Engine
def reap():
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            time.sleep(0.001)
if sys.argv[3] == "ignore":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
else:
    threading.Thread(target=reap, daemon=True).start()
with Engine(sys.argv[1]) as engine:
    for code in (0, 3, 0, 7):
        done = engine.run(sys.argv[2], ["sh", "-c", f"exit {code}"])
        assert done.returncode == code, done
    assert engine.run(sys.argv[2], ["sh", "-c", "kill -9 $$; sleep 9"], init=True).returncode == 137
    assert engine.run(sys.argv[2], ["sleep", "1000"], timeout=0.1).returncode == -9
print("ok")
"""


@pytest.mark.parametrize("program", [FORKED, DEFAULT_FORKED])
def test_a_host_program_that_forks(root_or_user: str, engine: Engine, image: str, program: str) -> None:
    assert run_python(program, engine.root, image) == "ok\n"


@pytest.mark.parametrize("way", ["waitpid", "ignore"])
def test_a_host_program_that_takes_the_children_away(root_or_user: str, engine: Engine, image: str, way: str) -> None:
    if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 15):
        pytest.skip("the kernel forgets the status of a child that others have reaped")

    assert run_python(REAPER, engine.root, image, way) == "ok\n"


def test_guest_manners(shell: Shell) -> None:
    def state() -> list[Any]:
        handlers = [signal.getsignal(number) for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM)]
        umask = os.umask(0o22)
        os.umask(umask)
        links = [os.readlink(f"/proc/thread-self/ns/{kind}") for kind in ("mnt", "pid", "net", "user", "cgroup")]
        masks = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        return [os.getcwd(), umask, handlers, links, masks, os.getresuid(), os.getresgid(), os.getgroups()]

    before = state()
    with warnings.catch_warnings():
        shell.run("true")
        with pytest.raises(PyrtError):
            shell.run("/no/such")
    assert state() == before


def test_time_passes_while_it_waits(shell: Shell) -> None:
    """No call holds the interpreter: another thread goes on."""
    ticks: list[float] = []
    stop = threading.Event()

    def tick() -> None:
        while not stop.is_set():
            ticks.append(time.monotonic())
            stop.wait(0.01)

    thread = threading.Thread(target=tick)
    thread.start()
    shell.run("sleep", "0.3")
    stop.set()
    thread.join()

    assert len(ticks) > 5


def test_a_signal_that_the_program_sends_itself(shell: Shell) -> None:
    done = shell.run("sh", "-c", "sh -c 'kill -USR1 $$'; echo $?")
    assert done.stdout == f"{128 + signal.SIGUSR1}\n"

    with start(shell, "sleep 1000") as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(60)
    assert process.exit_cause == Signalled(signal.SIGKILL)
