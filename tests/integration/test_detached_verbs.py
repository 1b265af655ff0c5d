"""Verbs of containers that outlive their caller: run and wait, limits, processes, usage, and what a boot starts."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pyrt import CommandError, Container, ContainerNotFound, Engine, Image, InvalidOption, ProcessFailed, WrongState
from pyrt.runtime.protocol import STATE, MonitorState
from tests.hosts import eventually
from tests.kept_engine import IMAGE, kept_engine

pytestmark = pytest.mark.needs("overlay")
FOREVER = ["sleep", "1000"]
BOTH = ["sh", "-c", "echo out; sleep 0.1; echo err >&2"]


@pytest.fixture
def store(public_directory: Path, public_rootfs: Path) -> Iterator[Engine]:
    with kept_engine(public_directory, public_rootfs) as engine:
        yield engine


@pytest.mark.parametrize(
    ("flags", "output"),
    [({}, b"out\n"), ({"stdout": False, "stderr": True}, b"err\n"), ({"stderr": True}, b"out\nerr\n")],
)
def test_a_run_gives_its_output(store: Engine, flags: dict[str, Any], output: bytes) -> None:
    assert store.containers.run(IMAGE, BOTH, name="box", **flags) == output
    assert store.containers.get("box").status == "exited"


@pytest.mark.parametrize("is_removed", [False, True])
def test_a_run_that_fails_says_so_with_its_output(store: Engine, is_removed: bool) -> None:
    with pytest.raises(ProcessFailed, match="exited with 3") as caught:
        store.containers.run(IMAGE, ["sh", "-c", "echo why >&2; exit 3"], remove=is_removed)

    assert (caught.value.returncode, caught.value.stdout, caught.value.stderr) == (3, b"", b"why\n")
    assert len(store.containers.list(all=True)) == (0 if is_removed else 1)


def test_a_run_that_cannot_start_leaves_nothing_where_it_is_to_be_removed(store: Engine) -> None:
    for detach in (False, True):
        with pytest.raises(CommandError):
            store.containers.run(IMAGE, ["nothing"], remove=True, detach=detach)

    assert store.containers.list(all=True) == []


def test_no_byte_is_lost_before_an_attachment(store: Engine) -> None:
    container = store.containers.create(IMAGE, ["sh", "-c", "echo first; exit 4"])

    for _ in range(10):
        with container.start(attach=True) as attachment:
            assert list(attachment) == [("stdout", b"first\n")]
        assert attachment.exit_code == 4


def test_stop_with_another_signal(store: Engine) -> None:
    container = store.containers.run(
        IMAGE, ["sh", "-c", "trap 'exit 7' USR1; while :; do sleep 0.02; done"], detach=True
    )
    eventually(lambda: handles(container, signal.SIGUSR1), "the program has no handler")

    container.stop(30, signal="USR1")

    assert container.exit_code == 7


def handles(container: Container[Image], number: int) -> bool:
    status = Path(f"/proc/{container.condition.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) & 1 << number - 1)


def test_top(store: Engine) -> None:
    container = store.containers.run(IMAGE, ["sh", "-c", "sleep 1000; true"], detach=True)
    eventually(lambda: container.top("-o comm")["Processes"] == [["sh"], ["sleep"]], "there are not two programs")

    found = container.top()

    assert found["Titles"] == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    shell, sleep = found["Processes"]
    assert (shell[1], sleep[2]) == (str(container.condition.pid), shell[1])
    assert (sleep[5], sleep[7]) == ("?", "sleep 1000")
    assert container.top("-o pid,comm")["Processes"] == [[shell[1], "sh"], [sleep[1], "sleep"]]
    assert container.top("aux")["Titles"][:4] == ["USER", "PID", "%CPU", "%MEM"]
    for wrong in ("-o nonsense", "--forest"):
        with pytest.raises(InvalidOption):
            container.top(wrong)
    container.kill()
    with pytest.raises(WrongState):
        container.top()


def test_what_a_process_calls_itself_obeys_no_terminal(store: Engine) -> None:
    container = store.containers.run(IMAGE, ["sh", "-c", "sleep 1000; true \x1b[2J\n\u202e"], detach=True)
    eventually(lambda: len(container.pids()) == 2, "there are not two processes")

    words = container.top()["Processes"][0][-1]

    assert words.isprintable()
    assert words.startswith("sh -c sleep 1000; true ?[2J?")


@pytest.mark.needs("root")
def test_stats(store: Engine) -> None:
    container = store.containers.run(IMAGE, ["sh", "-c", "while :; do :; done"], mem_limit="64m", detach=True)

    first, second, *_ = (sample for sample, _ in zip(container.stats(), range(2), strict=False))
    single = container.stats(stream=False)

    assert first["precpu_stats"]["cpu_usage"]["total_usage"] == 0 == single["precpu_stats"]["cpu_usage"]["total_usage"]
    assert second["precpu_stats"] == first["cpu_stats"]
    assert second["cpu_stats"]["cpu_usage"]["total_usage"] > first["cpu_stats"]["cpu_usage"]["total_usage"]
    assert second["cpu_stats"]["system_cpu_usage"] > first["cpu_stats"]["system_cpu_usage"]
    assert single["memory_stats"]["limit"] == 64 << 20
    assert single["name"] == f"/{container.name}"
    container.kill()
    assert list(container.stats()) == []
    with pytest.raises(WrongState):
        container.stats(stream=False)


def limit_of(container: Container[Image], v1: str, v2: str) -> str:
    """Give the content of a limit's file, on whichever hierarchy the container is."""
    for line in Path(f"/proc/{container.condition.pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        top = Path("/sys/fs/cgroup")
        mounts = [top / controllers, top] if controllers else [top / "unified", top]
        for name in (v1, v2):
            for mount in mounts:
                if (file := mount / path.lstrip("/") / name).exists():
                    return file.read_text().strip()
    raise AssertionError(f"neither {v1} nor {v2}")


@pytest.mark.needs("root")
def test_limits_change_at_once_and_stay(store: Engine) -> None:
    container = store.containers.run(IMAGE, FOREVER, mem_limit="64m", pids_limit=50, detach=True)

    container.update(mem_limit="32m", pids_limit=20)

    for _ in range(2):
        assert limit_of(container, "memory.limit_in_bytes", "memory.max") == str(32 << 20)
        assert limit_of(container, "pids.max", "pids.max") == "20"
        container.restart(0)
    container.update(pids_limit=-1)
    assert limit_of(container, "pids.max", "pids.max") == "max"
    host = container.attrs["HostConfig"]
    assert (host["Memory"], host["PidsLimit"]) == (32 << 20, -1)


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    "limits",
    [{"mem_limit": "1m"}, {"pids_limit": 5, "mem_limit": "nonsense"}, {"pids_limit": 5, "nonsense": 1}],
)
def test_a_wrong_limit_changes_nothing(store: Engine, limits: dict[str, Any]) -> None:
    container = store.containers.run(IMAGE, FOREVER, pids_limit=50, detach=True)
    before = container.attrs

    with pytest.raises(InvalidOption):
        container.update(restart_policy="always", **limits)

    assert limit_of(container, "pids.max", "pids.max") == "50"
    assert container.attrs == before


def test_limits_of_what_does_not_run_wait_for_its_start(store: Engine) -> None:
    container = store.containers.create(IMAGE, FOREVER, nano_cpus=10**8)
    container.update(cpus=0.5)
    assert container.attrs["HostConfig"]["NanoCpus"] == 5 * 10**8
    with pytest.raises(InvalidOption, match="cpu_quota"):
        container.update(cpu_quota=5000)


def kill_monitor(engine: Engine, container: Container[Image]) -> None:
    """Kill a monitor, and its container, which without a cgroup would go on."""
    state = MonitorState.read(f"{engine.root}/containers/{container.id}")
    assert state is not None
    os.kill(state.monitor, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(state.pid, signal.SIGKILL)


def went_down(engine: Engine, container: Container[Image], *, is_stopped: bool = False) -> None:
    """Leave a container as a machine does that went down while it ran: the boot was later than its start."""
    kill_monitor(engine, container)
    eventually(lambda: container.status == "exited", "it is shown as running without a monitor")
    path = engine.root / "containers" / container.id / "state"
    values = list(STATE.unpack(path.read_bytes()[: STATE.size]))
    values[8], values[10] = int(is_stopped), 1_000_000_000  # is_stopped, started_ns: long before any boot
    with path.open("r+b") as file:
        file.write(STATE.pack(*values))


def test_a_boot_starts_what_its_policy_says(store: Engine) -> None:
    def run(name: str, policy: str) -> Container[Image]:
        return store.containers.run(IMAGE, FOREVER, name=name, restart_policy=policy, detach=True)

    for name in ("always", "unless-stopped"):
        run(f"{name}-stopped", name).stop(0)
        went_down(store, run(f"{name}-ran", name))
        went_down(store, run(f"{name}-stopping", name), is_stopped=True)
        kill_monitor(store, run(f"{name}-killed", name))
    went_down(store, run("failure-ran", "on-failure"))
    went_down(store, run("no-ran", "no"))
    store.containers.create(IMAGE, FOREVER, name="created", restart_policy="always")
    run("runs", "always")
    eventually(lambda: len(store.containers.list()) == 1, "containers without a monitor are shown as running")

    started = [each.name for each in store.containers.boot()]

    assert sorted(started) == [
        *("always-killed", "always-ran", "always-stopped", "always-stopping"),
        "unless-stopped-ran",
    ]
    assert store.containers.boot() == []


def test_a_boot_starts_all_that_it_can(store: Engine) -> None:
    for name in ("broken", "fine"):
        container = store.containers.run(IMAGE, FOREVER, name=name, restart_policy="always", detach=True)
        container.stop(0)
    broken = store.containers.get("broken")
    upper = store.root / "containers" / broken.id / "upper"
    (upper / "bin").mkdir(exist_ok=True)
    (upper / "bin" / "sleep").write_text("not a program")
    failed = []

    started = store.containers.boot(lambda container, error: failed.append((container.name, type(error))))

    assert ([each.name for each in started], failed) == (["fine"], [("broken", CommandError)])


def test_what_goes_at_its_end_is_gone_after_a_run(store: Engine) -> None:
    assert store.containers.run(IMAGE, ["echo", "hi"], name="box", remove=True) == b"hi\n"
    with pytest.raises(ContainerNotFound):
        store.containers.get("box")
