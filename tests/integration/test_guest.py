"""The process is the host program's: it may fork, reap, ignore signals, be interrupted, and finds itself unchanged."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from typing import Any

import pytest

from pyrt import Engine, PyrtError
from tests.containers import Shell
from tests.hosts import run_python

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
@pytest.mark.needs("exit_status_is_kept")
def test_a_host_program_that_takes_the_children_away(root_or_user: str, engine: Engine, image: str, way: str) -> None:
    assert run_python(REAPER, engine.root, image, way) == "ok\n"


def test_guest_manners(shell: Shell) -> None:
    def state() -> list[Any]:
        handlers = [
            signal.getsignal(number) for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM)
        ]
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


INTERRUPTED = """
import os, signal, sys, threading
from pyrt import Engine
with Engine(sys.argv[1]) as engine:
    try:
        interrupt = lambda line: threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGINT]).start()
        engine.run(sys.argv[2], ["sh", "-c", "trap '' INT TERM; echo; sleep 1000"], on_stdout=interrupt)
    except KeyboardInterrupt:
        assert not engine._rooms.launcher._running
        print("interrupted")
"""


def test_ctrl_c_in_the_host_program_ends_the_container(root_or_user: str, engine: Engine, image: str) -> None:
    assert run_python(INTERRUPTED, engine.root, image) == "interrupted\n"


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
