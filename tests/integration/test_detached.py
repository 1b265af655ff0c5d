"""Containers that outlive their caller: their states, and what their monitors keep of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrt import CommandError, Container, Engine, Image, InvalidOption, NameInUse, WrongState
from pyrt.runtime.protocol import MonitorState
from tests.hosts import TOP, eventually
from tests.kept_engine import IMAGE, kept_engine

pytestmark = pytest.mark.needs("overlay")
FOREVER = ["sleep", "1000"]


@pytest.fixture
def store(public_directory: Path, public_rootfs: Path) -> Iterator[Engine]:
    with kept_engine(public_directory, public_rootfs) as engine:
        yield engine


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


def log(engine: Engine, container: Container[Image]) -> list[dict[str, str]]:
    lines = (engine.root / "containers" / container.id / "log").read_text().splitlines()
    return [json.loads(line) for line in lines]


def monitor(engine: Engine, container: Container[Image]) -> MonitorState:
    state = MonitorState.read(f"{engine.root}/containers/{container.id}")
    assert state is not None
    return state


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
    assert not Path(f"/proc/{process}").exists()
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

    os.kill(monitor(store, container).monitor, signal.SIGKILL)
    eventually(lambda: container.status == "exited", "a container without a monitor is shown as running")

    condition = container.condition
    assert (condition.exit_code, condition.is_lost) == (137, True)
    assert "monitor was killed" in condition.error
    eventually(lambda: not Path(f"/proc/{process}").exists(), "a process outlives its monitor")
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


def test_attached_clients_get_each_byte_once(store: Engine) -> None:
    container = store.containers.run(IMAGE, sh("cat; echo end"), stdin_open=True, detach=True)
    size, got = 3 << 20, [bytearray(), bytearray()]

    def read(number: int) -> None:
        with container.attach() as attached:
            ready.wait()
            for _, piece in attached:
                got[number] += piece

    ready = threading.Barrier(3)
    readers = [threading.Thread(target=read, args=(number,)) for number in range(2)]
    for each in readers:
        each.start()
    ready.wait()
    sent = os.urandom(size // 2).hex().encode()
    with container.attach(stdin=True, stdout=False, stderr=False) as attached:
        attached.write(sent)
        attached.close_stdin()
    for each in readers:
        each.join()

    assert [bytes(each) == sent + b"end\n" for each in got] == [True, True]
    assert container.wait(30) == {"StatusCode": 0}


def test_input_ends_with_its_client_where_that_was_asked_for(store: Engine) -> None:
    container = store.containers.run(IMAGE, sh("wc -c"), stdin_open=True, stdin_once=True, detach=True)
    with container.attach(stdin=True) as attached:
        attached.write(b"four")

    assert container.wait(30) == {"StatusCode": 0}
    assert log(store, container)[0]["log"].strip() == "4"


def test_a_terminal(store: Engine) -> None:
    container = store.containers.run(IMAGE, ["sh"], tty=True, stdin_open=True, detach=True)
    container.resize(30, 100)
    with container.attach(stdin=True) as attached:
        attached.write(b"stty size; exit 6\n")
        said = b"".join(piece for _, piece in attached)

    assert b"30 100" in said
    assert attached.exit_code == 6


def test_a_reader_that_stops_does_not_keep_the_end_from_others(store: Engine) -> None:
    container = store.containers.run(IMAGE, sh("sleep 0.2; head -c 3000 /dev/zero"), detach=True)
    with container.attach():
        assert container.wait(30) == {"StatusCode": 0}


def test_lines_are_logged_whole_and_rotated_between_lines(store: Engine) -> None:
    config = {"Type": "json-file", "Config": {"max-size": "20k", "max-file": "3"}}
    container = store.containers.run(IMAGE, sh("seq 1 2000; printf 'no end'"), log_config=config, detach=True)
    container.wait(30)

    directory = store.root / "containers" / container.id
    names = sorted(each.name for each in directory.glob("log*"))
    lines = [json.loads(line) for name in reversed(names) for line in (directory / name).read_text().splitlines()]
    said = "".join(line["log"] for line in lines)
    assert names == ["log", "log.1", "log.2"]
    assert "".join(f"{number}\n" for number in range(1, 2001)).endswith(said.removesuffix("no end"))
    assert said.endswith("2000\nno end")


def test_every_byte_is_logged_as_json(store: Engine) -> None:
    container = store.containers.run(IMAGE, sh(r"printf 'q\042\\\b\177\303\244\377\342\202x\n'"), detach=True)
    container.wait(30)

    assert log(store, container)[0]["log"] == 'q"\\\b\x7fä\ufffd\ufffd\ufffdx\n'


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


def test_no_reader_is_needed(store: Engine) -> None:
    began = time.monotonic()
    container = store.containers.run(
        IMAGE, sh("head -c 5000000 /dev/zero | tr '\\0' x"), log_config={"Type": "none"}, detach=True
    )

    assert container.wait(60) == {"StatusCode": 0}
    assert time.monotonic() - began < 60
