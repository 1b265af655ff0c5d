"""Whoever starts containers may die at any moment: nothing of them outlives it, and what stays is cleared."""

from __future__ import annotations

import functools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pyrt import Engine
from tests.containers import Shell
from tests.hosts import TOP, eventually, processes_in, processes_with, run_python

ROUNDS = 25
HOST = """
import sys, threading
from pyrt import Engine
root, image, mark = sys.argv[1:]
with Engine(root) as engine:
    print("ready", flush=True)
    def work():
        while True:
            engine.run(image, ["sh", "-c", f": {mark}; setsid sleep 1000 & exit 0"])
    for _ in range(2):
        threading.Thread(target=work, daemon=True).start()
    work()
"""
RUNNING = """
import os, sys, time
from pyrt import Engine
root, image, mark = sys.argv[1:]
engine = Engine(root)
rest = f": {mark}; while :; do sleep 1000; done"
script = f"setsid sh -c '{rest}' & setsid sh -c '{rest}' & echo up; trap '' TERM; {rest}"
processes = [engine.popen(image, ["sh", "-c", script], stdout=-1) for _ in range(3)]
for process in processes:
    process.stdout.readline()
if "fork" in mark and os.fork() == 0:
    print(os.getpid(), flush=True)
    time.sleep(1000)
if "fork" not in mark:
    print("ready", flush=True)
time.sleep(1000)
"""


EXECS = """
import sys, time
from pyrt import Engine
root, image, mark = sys.argv[1:]
engine = Engine(root)
container = engine.popen(image, ["sleep", "1000"])
script = f": {mark}; setsid sleep 1000 & while :; do sleep 1000; done"
programs = [container.exec(["sh", "-c", script]) for _ in range(2)]
container.exec_run(["sh", "-c", script], detach=True)
print("ready", flush=True)
time.sleep(1000)
"""


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def exists(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def namespaces_of(mark: str) -> set[str]:
    """Give the PID namespaces of the processes with a mark, without this one's."""
    found = set()
    for pid in processes_with(mark):
        with suppress(
            FileNotFoundError
        ):  # one on its way from fork to exec bears the mark of its parent, and has ended
            found.add(os.readlink(f"/proc/{pid}/ns/pid"))
    return found - {os.readlink("/proc/self/ns/pid")}


def are_gone(mark: str) -> bool:
    return not processes_with(mark)


def cgroups_of(pid: int) -> list[str]:
    walk = os.walk("/sys/fs/cgroup")
    return [f"{path}/{name}" for path, names, _ in walk for name in names if name.startswith(f"{pid}.")]


@pytest.fixture
def hosts(engine: Engine, image: str, root_or_user: str) -> Iterator[Callable[[str, str], subprocess.Popen[str]]]:
    """Start host programs on the engine's directory; what is not dead at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, mark: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", program, str(engine.root), image, mark]
        environment = os.environ | {"PYTHONPATH": TOP}
        host = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        started.append(host)
        return host

    yield start
    for host in started:
        host.kill()
        host.wait()
        if host.stdout is not None:
            host.stdout.close()


def first_line(host: subprocess.Popen[str]) -> str:
    assert host.stdout is not None
    return host.stdout.readline().strip()


Hosts = Callable[[str, str], subprocess.Popen[str]]


def test_containers_die_with_a_killed_host(hosts: Hosts) -> None:
    mark = f"running-{os.getpid()}"
    host = hosts(RUNNING, mark)
    assert first_line(host) == "ready"
    namespaces = namespaces_of(mark)
    assert len(namespaces) == 3

    host.kill()
    host.wait()

    eventually(lambda: not any(map(processes_in, namespaces)), "processes outlive their host")
    eventually(lambda: not processes_with(mark), "processes outlive their host")
    eventually(lambda: not cgroups_of(host.pid), "cgroups outlive their host")


def test_execs_die_with_a_killed_host(hosts: Hosts) -> None:
    mark = f"execs-{os.getpid()}"
    host = hosts(EXECS, mark)
    assert first_line(host) == "ready"
    eventually(lambda: len(processes_with(f": {mark};")) >= 3, "the programs do not run")
    waiting = [pid for pid in processes_with("pyrt-init\0exec") if parent_of(pid) == host.pid]
    assert len(waiting) == 2  # and of the third, which is detached, it is nobody's child

    host.kill()
    host.wait()

    eventually(lambda: are_gone(mark), "programs outlive their host")
    eventually(lambda: not any(map(exists, waiting)), "who waits for a program outlives it")
    eventually(lambda: not cgroups_of(host.pid), "cgroups outlive their host")


def test_a_forked_child_that_holds_everything_open_does_not_keep_them(hosts: Hosts) -> None:
    mark = f"fork-{os.getpid()}"
    host = hosts(RUNNING, mark)
    child = int(first_line(host))

    try:
        host.kill()
        host.wait()
        eventually(lambda: set(processes_with(mark)) <= {child}, "processes outlive their host")
        assert processes_with(mark) == [child]
    finally:
        os.kill(child, signal.SIGKILL)


def starts_one(root: Path, image: str) -> None:
    """Start a container in a new engine: the first one of each clears what dead engines left."""
    with Engine(root) as engine:
        engine.run(image, ["true"], check=True)


def test_a_host_that_is_killed_at_any_moment(hosts: Hosts, engine: Engine, image: str) -> None:
    """In the middle of starts and ends: the keeper clears, and the next engine what the keeper could not know."""
    generator = random.Random(20)
    for number in range(ROUNDS):
        mark = f"moment-{os.getpid()}-{number}."
        host = hosts(HOST, mark)
        assert first_line(host) == "ready"
        time.sleep(generator.uniform(0, 0.006) + (0.05 if number % 3 == 0 else 0))
        host.kill()
        host.wait()
        eventually(functools.partial(are_gone, mark), f"processes outlive their host in round {number}")
        starts_one(engine.root, image)
        assert cgroups_of(host.pid) == []

    assert os.listdir(engine.root / "stage") == []
    assert str(engine.root) not in Path("/proc/self/mountinfo").read_text()


def test_copies_of_a_killed_host_are_cleared_by_the_next_engine(hosts: Hosts, engine: Engine, image: str) -> None:
    program = "import pyrt.snapshot.probe as p\np.OverlayProbe.refusal = lambda *_: 'refused by the test'\n" + RUNNING
    host = hosts(program, f"copy-{os.getpid()}")
    assert first_line(host) == "ready"
    copies = engine.root / "copies"
    assert len(os.listdir(copies)) == 3

    starts_one(engine.root, image)
    assert len(os.listdir(copies)) == 3
    host.kill()
    host.wait()
    eventually(lambda: not processes_with(f"copy-{os.getpid()}"), "processes outlive their host")
    starts_one(engine.root, image)
    assert os.listdir(copies) == []


def keeper_of_this_process() -> int:
    for entry in os.listdir("/proc"):
        try:
            stat = Path("/proc", entry, "stat").read_text() if entry.isdecimal() else ""
            line = Path("/proc", entry, "cmdline").read_bytes() if stat else b""
        except OSError:
            continue
        if line.startswith(b"pyrt-init\0keeper") and int(stat.rpartition(")")[2].split()[1]) == os.getpid():
            return int(entry)
    raise LookupError("no keeper")


def test_a_killed_keeper_is_replaced(shell: Shell) -> None:
    with shell.engine.popen(shell.image, ["sleep", "1000"]) as running:
        first = keeper_of_this_process()
        os.kill(first, signal.SIGKILL)

        assert shell.run("true").returncode == 0
        assert keeper_of_this_process() != first
        assert running.poll() is None
    assert shell.run("true").returncode == 0


KEEPER_KILLED = RUNNING.replace(
    'print("ready", flush=True)',
    """for entry in os.listdir("/proc"):
    try:
        if open(f"/proc/{entry}/cmdline", "rb").read().startswith(b"pyrt-init\\0keeper") and (
            open(f"/proc/{entry}/stat").read().rpartition(")")[2].split()[1] == str(os.getpid())
        ):
            os.kill(int(entry), 9)
    except OSError:
        pass
    engine.run(image, ["true"])
    print("ready", flush=True)""".replace("\n", "\n    "),
)


def test_the_replaced_keeper_knows_the_older_containers(hosts: Hosts) -> None:
    mark = f"replaced-{os.getpid()}"
    host = hosts(KEEPER_KILLED, mark)
    assert first_line(host) == "ready"
    namespaces = namespaces_of(mark)
    assert len(namespaces) == 3

    host.kill()
    host.wait()

    eventually(lambda: not any(map(processes_in, namespaces)), "processes outlive their host")


def test_several_engines_in_one_process(engine: Engine, image: str, public_directory: Path, root_or_user: str) -> None:
    with Engine(engine.root) as same, Engine(public_directory / f"several-{os.getpid()}") as other:
        with other.popen(image, ["sleep", "1000"]) as running:
            for each in (engine, same, other):
                assert each.run(image, ["sh", "-c", "exit 5"]).returncode == 5
            same.close()
            assert running.poll() is None
            assert engine.run(image, ["true"]).returncode == 0
        assert other.run(image, ["true"]).returncode == 0


def test_an_engine_leaves_the_containers_of_another_alone(shell: Shell) -> None:
    with shell.engine.popen(shell.image, ["sleep", "1000"]) as running:
        for _ in range(3):
            starts_one(shell.engine.root, shell.image)
        assert running.poll() is None
        program = "import sys; from pyrt import Engine\nwith Engine(sys.argv[1]) as e: e.run(sys.argv[2], ['true'])"
        run_python(program, shell.engine.root, shell.image)
        assert running.poll() is None


def test_nothing_grows(shell: Shell) -> None:
    def held() -> tuple[int, int, int]:
        mounts = Path("/proc/self/mountinfo").read_text().count("\n")
        return len(os.listdir("/proc/self/fd")), threading.active_count(), mounts

    shell.run("true")
    before = held()
    for _ in range(200):
        shell.run("/bin/nop")
        if _ % 10 == 0:
            shell.run("sh", "-c", "exit 1", init=True, tty=_ % 20 == 0)

    assert held() == before
    assert len(cgroups_of(os.getpid())) == 0


def test_one_small_process_beside_the_containers(shell: Shell) -> None:
    def children() -> list[str]:
        return Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()

    before = set(children())
    processes = [shell.engine.popen(shell.image, ["sleep", "1000"]) for _ in range(8)]
    mine = {str(process.pid) for process in processes}
    others = set(children()) - before - mine
    for process in processes:
        process.close()

    assert others <= {str(keeper_of_this_process())}
    statm = Path(f"/proc/{keeper_of_this_process()}/statm").read_text().split()
    assert int(statm[1]) * os.sysconf("SC_PAGE_SIZE") < 1 << 20
