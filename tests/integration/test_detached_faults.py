"""What goes wrong around containers that outlive their caller: what is left, what is damaged, what does not obey."""

from __future__ import annotations

import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from pyrt import Engine, NameInUse, WrongState
from pyrt.container.life import cgroup
from pyrt.errors import IntegrityError, NotFound
from pyrt.runtime.link import Link
from pyrt.runtime.protocol import MAGIC, STATE, Order
from pyrt.state import FileLock
from tests.hosts import TOP, eventually, processes_with
from tests.kept_engine import FOREVER, IMAGE, kept_engine, monitor, place, sh

pytestmark = pytest.mark.needs("overlay")


@pytest.fixture
def store(public_directory: Path, public_rootfs: Path) -> Iterator[Engine]:
    with kept_engine(public_directory, public_rootfs) as engine:
        yield engine


def test_a_directory_without_a_record_is_cleared(store: Engine) -> None:
    stray = store.root / "containers" / ("ab" * 32)
    (stray / "upper/deep").mkdir(parents=True)
    other = store.root / "containers" / "somebody's"
    other.mkdir()
    Path(f"{store.root}/containers/{'cd' * 32}.lock").touch()

    store.containers.list(all=True)

    assert [each.name for each in (store.root / "containers").iterdir()] == ["somebody's"]


def test_a_creation_under_way_is_left_alone(store: Engine) -> None:
    coming = store.root / "containers" / ("ab" * 32)
    (coming / "upper").mkdir(parents=True)

    with FileLock(f"{coming}.lock"):
        store.containers.list(all=True)
        assert (coming / "upper").exists()
    store.containers.list(all=True)

    assert list((store.root / "containers").iterdir()) == []


def test_a_name_that_is_in_use_leaves_nothing(store: Engine) -> None:
    first = store.containers.create(IMAGE, name="box")
    with pytest.raises(NameInUse):
        store.containers.create(IMAGE, name="box")

    assert {each.name.removesuffix(".lock") for each in (store.root / "containers").iterdir()} == {first.id}


def test_who_looks_at_a_lost_container_does_not_make_it_run(store: Engine) -> None:
    container = store.containers.run(IMAGE, FOREVER, detach=True)
    os.kill(monitor(store, container), signal.SIGKILL)
    eventually(lambda: container.status == "exited", "a container without a monitor is shown as running")

    with FileLock(f"{place(store, container)}.lock", shared=True):  # another one looks
        assert container.status == "exited"
    container.start()

    assert container.status == "running"


def test_a_container_whose_files_are_gone_says_so_and_can_be_removed(store: Engine) -> None:
    container = store.containers.create(IMAGE, FOREVER)
    (place(store, container) / "upper").rmdir()

    with pytest.raises(IntegrityError, match="is gone"):
        container.start()

    assert container.status == "created"
    container.remove()
    assert store.containers.list(all=True) == []


@pytest.mark.needs("root")  # for a cgroup
def test_a_container_that_is_paused_at_the_wrong_moment_can_be_stopped(store: Engine) -> None:
    container = store.containers.run(IMAGE, FOREVER, detach=True)
    with Link.connect(str(place(store, container)), "box") as link:
        link.ask(Order.PAUSED, 1)  # as if its host program had been killed between this and the freezing

    assert container.status == "paused"
    container.unpause()
    container.pause()
    container.stop(0)

    assert container.status == "exited"


@pytest.mark.needs("root")  # for a cgroup
def test_who_is_killed_while_it_is_paused_is_restarted_thawed(store: Engine) -> None:
    container = store.containers.run(IMAGE, FOREVER, restart_policy="always", detach=True)
    first = container.condition.pid
    container.pause()
    os.kill(first, signal.SIGKILL)
    container.unpause()
    eventually(lambda: container.condition.pid not in (0, first), "it is not started again")

    assert container.status == "running"


@pytest.mark.parametrize("size", [0, 1, 100, 223, 224, 1000])
def test_a_state_of_garbage(store: Engine, size: int) -> None:
    container = store.containers.run(IMAGE, sh("exit 0"), detach=True)
    container.wait(30)
    (place(store, container) / "state").write_bytes(os.urandom(size))

    assert container.status == "created"
    assert [each.id for each in store.containers.list(all=True)] == [container.id]
    container.start()
    assert container.wait(30) == {"StatusCode": 0}
    container.remove()


def test_a_state_that_was_not_finished_is_the_last(store: Engine) -> None:
    container = store.containers.run(IMAGE, sh("exit 7"), detach=True)
    container.wait(30)
    path = place(store, container) / "state"
    raw = bytearray(path.read_bytes())
    sequence = int.from_bytes(raw[4:8], sys.byteorder)
    raw[4:8] = (sequence - 1).to_bytes(4, sys.byteorder)  # the first of the two writes, and no second
    path.write_bytes(raw)

    assert (container.status, container.exit_code) == ("exited", 7)


@pytest.mark.parametrize("cgroup", [b"../../evil", b"\xff\xfe", b"1.1-nobody"])
def test_the_pid_in_a_state_is_never_killed(store: Engine, cgroup: bytes) -> None:
    container = store.containers.run(IMAGE, sh("exit 0"), detach=True)
    container.wait(30)
    with subprocess.Popen(["sleep", "1000"]) as other:
        fields = (MAGIC, 2, 2, other.pid, other.pid, 0, 0, 0, 0, 0, 2**63, 2**63, 0, cgroup, 2)
        (place(store, container) / "state").write_bytes(STATE.pack(*fields))

        assert container.status == "exited"  # its times are in the future, too
        container.stop(0)
        with pytest.raises(WrongState):
            container.kill()
        store.containers.list(all=True)
        container.remove(force=True)

        assert other.poll() is None
        other.kill()


def test_a_program_that_leaves_children_behind_is_stopped_with_them(store: Engine) -> None:
    script = "trap '' TERM; (trap '' TERM; setsid sleep 1000 & sleep 1000) & while :; do sleep 0.1; done"
    container = store.containers.run(IMAGE, sh(script), detach=True)
    eventually(lambda: len(container.pids()) >= 3, "the children do not come")
    pids = container.pids()

    container.stop(0.1)

    assert container.exit_code == 137
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "a process outlives its container")


def test_a_damaged_record_is_named_and_does_not_hide_how_to_go_on(store: Engine) -> None:
    container = store.containers.create(IMAGE, FOREVER)
    with closing(sqlite3.connect(store.root / "state.db")) as database, database:
        found = database.execute("SELECT value FROM records WHERE kind='container'").fetchone()[0]
        database.execute("UPDATE records SET value = ? WHERE kind='container'", (b"\xc1garbage",))

    with pytest.raises(IntegrityError, match=container.id):
        store.containers.list(all=True)

    with closing(sqlite3.connect(store.root / "state.db")) as database, database:
        database.execute("UPDATE records SET value = ? WHERE kind='container'", (found,))


def test_a_locked_database_is_waited_for(store: Engine) -> None:
    container = store.containers.create(IMAGE, FOREVER)
    with closing(sqlite3.connect(store.root / "state.db", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        renaming = threading.Thread(target=lambda: container.rename("other"))
        renaming.start()
        renaming.join(1)
        assert renaming.is_alive()
        assert store.containers.get(container.id).name != "other"
        database.execute("COMMIT")
        renaming.join(30)

    assert store.containers.get("other").id == container.id


_RACER = """
import sys
from pyrt import Engine
from pyrt.errors import Conflict, NotFound
root, id, verb = sys.argv[1:]
with Engine(root) as engine:
    try:
        container = engine.containers.get(id)
        sys.stdin.read()
        getattr(container, verb)(**({"force": True} if verb == "remove" else {}))
        print("done")
    except (Conflict, NotFound) as error:
        print(type(error).__name__)
"""


def test_starts_and_removals_of_sixteen_processes(store: Engine) -> None:
    container = store.containers.create(IMAGE, FOREVER)
    command = [sys.executable, "-c", _RACER, str(store.root), container.id]
    pipe = subprocess.PIPE
    racers = [
        subprocess.Popen([*command, verb], stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=TOP)
        for verb in ["start", "remove"] * 8
    ]
    time.sleep(2)
    for each in racers:
        assert each.stdin is not None
        each.stdin.close()
        each.stdin = None
    said = [each.communicate(timeout=100) for each in racers]

    assert [error for _, error in said if error] == []
    with suppress(NotFound):  # the last one was a start
        store.containers.get(container.id).remove(force=True)
    assert store.containers.list(all=True) == []
    assert list((store.root / "containers").iterdir()) == []


@pytest.mark.needs("root")
def test_a_full_disk_costs_lines_which_are_counted(public_directory: Path, public_rootfs: Path) -> None:
    mounted = Path(tempfile.mkdtemp(prefix="small-", dir=public_directory))
    mounted.chmod(0o711)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=711", "small", mounted], check=True)
    try:
        with kept_engine(mounted, public_rootfs) as engine:
            container = engine.containers.run(IMAGE, sh("cat"), stdin_open=True, detach=True)
            filler = mounted / "filler"
            with suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(65536))
            with suppress(OSError), filler.open("ab", buffering=0) as file:
                while True:
                    file.write(bytes(1))
            with container.attach(stdin=True) as attached:
                sent = b"".join(b"%06d\n" % number for number in range(20000))
                attached.write(sent)
                got = b""
                while len(got) < len(sent):
                    piece = attached.read(30)
                    assert piece is not None
                    got += piece[1]
                assert got == sent
                filler.unlink()
                attached.write(b"again\n")
                attached.close_stdin()
            assert container.wait(30) == {"StatusCode": 0}
            lines = (place(engine, container) / "log").read_text().splitlines()
            assert container.condition.lost_log_bytes > 0
            assert json.loads(lines[-1])["log"] == "again\n"
            torn = [number for number, line in enumerate(lines) if not line.endswith("}")]
            assert len(torn) <= 1
            container.remove()
    finally:
        subprocess.run(["umount", mounted], check=True)
        mounted.rmdir()


def test_what_a_killed_monitor_left_is_gone_before_another_start(store: Engine) -> None:
    container = store.containers.run(IMAGE, FOREVER, detach=True)
    for _ in range(5):
        before = container.pids()
        os.kill(monitor(store, container), signal.SIGKILL)
        eventually(lambda: container.status == "exited", "a container without a monitor is shown as running")
        assert not set(before) & set(processes_with("sleep\x001000"))
        container.start()


@pytest.mark.needs("root")  # for a cgroup
def test_one_that_ends_while_it_is_looked_into_is_in_the_wrong_state(store: Engine) -> None:
    container = store.containers.run(IMAGE, FOREVER, detach=True)
    with (
        pytest.raises(WrongState, match="ended just now"),
        cgroup(store._rooms.keeping, container._kept, container.condition),
    ):
        raise FileNotFoundError(errno.ENOENT, "cgroup.procs")
