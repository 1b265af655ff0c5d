"""Containers that outlive their caller: their states, and what their monitors keep of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pyrt import CommandError, Engine, InvalidOption, NameInUse, ResourceBusy, WrongState
from tests.hosts import TOP, eventually
from tests.kept_engine import FOREVER, IMAGE, is_dead, kept_engine, log, monitor, sh

pytestmark = pytest.mark.needs("overlay")


@pytest.fixture
def store(public_directory: Path, public_rootfs: Path) -> Iterator[Engine]:
    with kept_engine(public_directory, public_rootfs) as engine:
        yield engine


def test_the_whole_life(store: Engine) -> None:
    container = store.containers.create(IMAGE, sh("echo out; echo err >&2; exit 3"), name="box", labels={"a": "b"})
    assert (container.status, store.containers.list()) == ("created", [])

    container.start()

    assert container.wait(30) == {"StatusCode": 3}
    assert (container.status, container.exit_code) == ("exited", 3)
    said = sorted((line["stream"], line["log"]) for line in log(store, container))
    assert said == [("stderr", "err\n"), ("stdout", "out\n")]
    assert [each.name for each in store.containers.list(all=True)] == ["box"]
    container.remove()
    assert store.containers.list(all=True) == []
    assert os.listdir(store.root / "containers") == []


def test_it_can_be_started_again_with_its_files(store: Engine) -> None:
    container = store.containers.run(IMAGE, sh("echo x >> /kept; exit $(wc -l < /kept)"), detach=True)

    for number in (1, 2, 3):
        assert container.wait(30) == {"StatusCode": number}
        container.start()


def test_it_outlives_its_program_even_when_that_is_killed(store: Engine) -> None:
    program = (
        "import os, signal, sys\nfrom pyrt import Engine\n"
        "engine = Engine(sys.argv[1])\n"
        f"engine.containers.run({IMAGE!r}, ['sh', '-c', 'sleep 0.3; echo alive; exit 5'], name='box', detach=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )

    done = subprocess.run([sys.executable, "-c", program, str(store.root)], cwd=TOP, timeout=60)

    assert done.returncode == -signal.SIGKILL
    container = store.containers.get("box")
    assert container.wait(30) == {"StatusCode": 5}
    assert log(store, container)[0]["log"] == "alive\n"


@pytest.mark.parametrize("script", ["sleep 1000", "trap '' TERM; while :; do sleep 0.05; done"])
def test_stop(store: Engine, script: str) -> None:
    container = store.containers.run(IMAGE, sh(script), detach=True)
    process = container.pids()[0]

    container.stop(0.2)

    assert container.status == "exited"
    assert container.exit_code in (137, 143)
    assert is_dead(process)
    container.stop()  # nothing to do


def test_kill_sends_any_signal(store: Engine) -> None:
    container = store.containers.run(
        IMAGE, sh("trap 'echo usr; exit 9' USR1; echo ready; while :; do sleep 0.02; done"), detach=True
    )
    eventually(lambda: log(store, container) != [], "the program does not say that it is ready")

    container.kill("USR1")

    assert container.wait(30) == {"StatusCode": 9}
    with pytest.raises(WrongState, match="not running"):
        container.kill()


@pytest.mark.needs("root")  # a user without a delegated cgroup has nothing to freeze by
def test_pause(store: Engine) -> None:
    container = store.containers.run(IMAGE, FOREVER, detach=True)

    container.pause()
    assert container.status == "paused"
    for verb in (container.start, container.pause, container.remove):
        with pytest.raises(WrongState, match="paused"):
            verb()
    container.unpause()
    assert container.status == "running"
    with pytest.raises(WrongState, match="not paused"):
        container.unpause()
    container.pause()
    container.kill()

    assert container.exit_code == 137


def test_restart_policy(store: Engine) -> None:
    container = store.containers.run(IMAGE, sh("echo run; exit 1"), restart_policy="on-failure:2", detach=True)

    assert container.wait(60) == {"StatusCode": 1}

    assert container.condition.restarts == 2
    assert len(log(store, container)) == 3
    assert container.attrs["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}


def test_a_container_that_was_stopped_is_not_restarted(store: Engine) -> None:
    container = store.containers.run(IMAGE, FOREVER, restart_policy={"Name": "always"}, detach=True)
    first = container.condition.pid
    os.kill(first, signal.SIGKILL)
    eventually(lambda: container.condition.pid not in (0, first), "it is not started again")

    container.stop(0)

    assert (container.status, container.condition.restarts) == ("exited", 1)


def test_a_policy_can_be_changed_while_it_runs(store: Engine) -> None:
    container = store.containers.run(IMAGE, FOREVER, restart_policy="always", detach=True)
    container.update(restart_policy="no")

    os.kill(container.condition.pid, signal.SIGKILL)

    assert container.wait(30) == {"StatusCode": 137}
    assert store.containers.get(container.id).attrs["HostConfig"]["RestartPolicy"]["Name"] == "no"


def test_a_killed_monitor_takes_its_container_along(store: Engine) -> None:
    container = store.containers.run(IMAGE, FOREVER, restart_policy="always", detach=True)
    process = container.condition.pid

    os.kill(monitor(store, container), signal.SIGKILL)
    eventually(lambda: container.status == "exited", "a container without a monitor is shown as running")

    condition = container.condition
    assert (condition.exit_code, condition.is_lost) == (137, True)
    assert "monitor was killed" in condition.error
    eventually(lambda: is_dead(process), "a process outlives its monitor")
    container.start()
    assert (container.status, container.condition.error) == ("running", "")


def test_what_cannot_be_started_says_why_and_stays(store: Engine) -> None:
    with pytest.raises(CommandError, match="no such program"):
        store.containers.run(IMAGE, ["nothing"], name="box", detach=True)

    container = store.containers.get("box")
    assert (container.status, container.exit_code) == ("created", 127)
    assert "no such program" in container.condition.error
    with pytest.raises(CommandError):
        container.start()


def test_names(store: Engine) -> None:
    first = store.containers.create(IMAGE, name="one")
    second = store.containers.create(IMAGE, name="two")

    with pytest.raises(NameInUse, match="one belongs to"):
        second.rename("one")
    with pytest.raises(InvalidOption):
        second.rename("no/slash")
    first.rename("three")
    second.rename("one")

    assert [store.containers.get(name).id for name in ("three", "one")] == [first.id, second.id]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"status": "exited"}, ["old"]),
        ({"status": ["running", "created"]}, ["new", "run"]),
        ({"label": "a=1"}, ["new", "old"]),
        ({"label": ["a", "b"]}, ["old"]),
        ({"name": "^/?n"}, ["new"]),
        ({"exited": 4}, ["old"]),
        ({"ancestor": IMAGE}, ["new", "run", "old"]),
        ({"since": "old"}, ["new", "run"]),
        ({"before": "run"}, ["old"]),
    ],
)
def test_filters(store: Engine, filters: dict[str, Any], found: list[str]) -> None:
    store.containers.run(IMAGE, sh("exit 4"), name="old", labels={"a": "1", "b": ""}, detach=True).wait(30)
    store.containers.run(IMAGE, FOREVER, name="run", labels={"a": "2"}, detach=True)
    store.containers.create(IMAGE, name="new", labels={"a": "1"})

    assert [each.name for each in store.containers.list(all=True, filters=filters)] == found


def test_one_start_of_many_wins(store: Engine) -> None:
    container = store.containers.create(IMAGE, FOREVER)
    barrier, refused = threading.Barrier(8), []

    def start() -> None:
        barrier.wait()
        try:
            store.containers.get(container.id).start()
        except WrongState as error:
            refused.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert container.status == "running"
    assert len(container.pids()) == 1


def test_a_container_that_goes_at_its_end(store: Engine) -> None:
    container = store.containers.run(IMAGE, sh("exit 0"), auto_remove=True, detach=True)

    assert container.wait(30, condition="removed") == {"StatusCode": 0}
    assert store.containers.list(all=True) == []


def test_the_engine_may_go(store: Engine) -> None:
    with Engine(store.root) as other:
        other.containers.run(IMAGE, FOREVER, name="box", detach=True)

    assert store.containers.get("box").status == "running"


def test_what_happens_is_told(store: Engine) -> None:
    began = time.time()
    container = store.containers.run(IMAGE, sh("exit 2"), name="box", labels={"a": "b"}, detach=True)
    container.wait(30)
    container.remove()

    told = list(store.events(since=began - 1, until=time.time() + 1, filters={"container": container.id}))

    assert [each["Action"] for each in told] == ["create", "start", "die", "destroy"]
    assert told[2]["Actor"]["Attributes"] == {"exitCode": "2", "image": IMAGE, "name": "box", "a": "b"}


def test_exec(store: Engine) -> None:
    container = store.containers.create(IMAGE, FOREVER, environment={"B": "2"})
    with pytest.raises(WrongState, match="not running"):
        container.exec_run("true")
    container.start()

    done = container.exec_run("sh -c 'echo $A$B; id -u >&2; exit 3'", user="7", demux=True)

    assert (done.exit_code, done.output) == (3, (b"12\n", b"7\n"))
    with container.exec(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.communicate(b"in", timeout=30) == (b"in", None)
    assert container.exec_run(FOREVER, timeout=0.1).exit_code == 137
    assert len(container.pids()) == 1


def test_volumes_stay_and_are_the_same_at_each_start(store: Engine) -> None:
    options: Any = {"volumes": ["data:/data", "/own"], "mounts": ["type=tmpfs,target=/scratch"]}
    container = store.containers.run(
        IMAGE, sh("echo x | tee -a /data/f /own/f > /scratch/f; sleep 1000"), **options, detach=True
    )
    with pytest.raises(ResourceBusy):
        store.volumes.get("data").remove()
    eventually(lambda: container.exec_run("cat /scratch/f").output == b"x\n", "nothing is written")
    container.restart(0)
    eventually(lambda: container.exec_run("cat /data/f").output == b"x\nx\n", "the volume is another one")

    assert container.exec_run("cat /own/f /scratch/f").output == b"x\nx\nx\n"
    assert sorted(each["Destination"] for each in container.attrs["Mounts"]) == ["/data", "/own"]
    container.remove(force=True, v=True)
    assert [volume.name for volume in store.volumes.list()] == ["data"]
    store.volumes.get("data").remove()


def test_files_while_it_runs_and_when_it_has_ended(store: Engine) -> None:
    container = store.containers.run(IMAGE, FOREVER, detach=True)
    container.fs.write_text("/etc/one", "1")

    assert container.exec_run("cat /etc/one").output == b"1"
    container.stop(0)
    container.fs.write_text("/etc/two", "2")
    container.start()
    assert container.exec_run("cat /etc/one /etc/two").output == b"12"


@pytest.mark.needs("root")
def test_many_who_pause_and_unpause_at_once(store: Engine) -> None:
    container = store.containers.run(IMAGE, FOREVER, detach=True)

    def toggle() -> None:
        for _ in range(5):
            for verb in (container.pause, container.unpause):
                with suppress(WrongState):
                    verb()

    threads = [threading.Thread(target=toggle) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    if container.status == "paused":
        container.unpause()
    assert container.exec_run("true", timeout=30).exit_code == 0
