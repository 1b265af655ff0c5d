"""SIGKILL at any moment: what had been reported stays, and nothing is left that nobody clears.

A host program works on a root; at a moment that the seed chooses it is killed, or a monitor, or both. Then an engine
that comes new to the root is the judge. CRASHES says how many moments there are, CRASH_SEED which is the first.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from pyrt import Condition, Container, Engine, Image
from tests.crash.workload import journal_of
from tests.hosts import TOP, eventually, processes_with
from tests.kept_engine import kept_engine
from tests.tripwires import Held, leaks_since

MOMENTS = int(os.environ.get("CRASHES", "50"))
SEED = int(os.environ.get("CRASH_SEED", "1"))
ROOTS = 5  # each lives through a part of the moments, so that one crash comes upon the traces of another
LONGEST_SECONDS = 0.5
pytestmark = [pytest.mark.needs("root", "overlay"), pytest.mark.timeout(60 + 10 * MOMENTS)]


@contextmanager
def host(root: Path, seed: int, journal: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a host program, which works from now on."""
    command = [sys.executable, "-m", "tests.crash.workload", str(root), str(seed), str(journal)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, cwd=TOP, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def monitors(root: Path) -> list[int]:
    """Give the monitors of a root that live, by their working directories."""
    found = []
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            is_one = Path(f"/proc/{entry}/cmdline").read_bytes() == b"pyrt-init\0monitor\0"
            if is_one and os.readlink(f"/proc/{entry}/cwd").startswith(f"{root}/containers/"):
                found.append(int(entry))
    return found


def crash(root: Path, seed: int, journal: Path) -> str:
    """Let a host program work, and kill at the moment that the seed chooses; say whom."""
    chance = random.Random(seed)
    victim = chance.choice(["host", "host", "monitor", "both"])
    with host(root, seed, journal) as process:
        time.sleep(chance.uniform(0, LONGEST_SECONDS))
        if victim != "host":
            for pid in chance.sample(found := sorted(monitors(root)), min(1, len(found))):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if victim != "monitor":
            process.kill()
            process.wait()
        else:
            _, said = process.communicate("enough", timeout=60)
            assert process.returncode == 0, said
    return victim


def mark_of(container: Container[Image]) -> str:
    return container.labels["mark"]


def lives(container: Container[Image]) -> bool:
    """Whether there is a process of its program; each says in its arguments whose it is."""
    mark = f": {mark_of(container)};"
    return bool(processes_with(mark))


def judge(engine: Engine, journal: Path) -> list[Container[Image]]:
    """Look for what was lost, and for what is not as it is shown; give the containers."""
    found = engine.containers.list(all=True)
    ids = {each.id for each in found}
    lines = journal_of(journal.read_text())
    made = {id for when, verb, id, _ in lines if (when, verb) in {("done", "create"), ("done", "run")}}
    at_risk = {id for when, verb, id, _ in lines if verb in ("remove", "force") and when != "refused"}
    gone = {id for when, verb, id, _ in lines if verb in ("remove", "force") and when == "done"}
    assert made - at_risk <= ids, "a container was lost whose creation had been reported"
    assert not gone & ids, "a container is back that had been removed"
    directory = engine.root / "containers"
    entries = set(os.listdir(directory)) if directory.exists() else set()
    strays = {entry for entry in entries if entry.removesuffix(".lock") not in ids}
    assert not strays, f"nobody has cleared {strays}"
    for container in found:
        settled(container)
    return found


def settled(container: Container[Image]) -> None:
    """Wait until a container is shown as it is."""

    def agrees() -> bool:
        before, is_alive, after = container.status, lives(container), container.status
        return before == after and (before == "restarting" or (before in ("running", "paused")) == is_alive)

    eventually(
        agrees, f"{container.name} is shown as {container.condition}, and its program is there: {lives(container)}"
    )


def traces(container: Container[Image], before: Condition) -> str:
    """Tell what is known of processes that should not be."""
    said = [f"before the stop: {before}", f"now: {container.condition}"]
    for pid in processes_with(f": {mark_of(container)};"):
        with suppress(OSError):
            said += [Path(f"/proc/{pid}/{name}").read_text() for name in ("stat", "cmdline", "cgroup")]
    return "\n".join(said)


def use(container: Container[Image], chance: random.Random) -> None:
    """Start, stop and remove a container, each of which must still be possible."""
    if container.status == "paused":
        container.unpause()
    container.start()
    settled(container)
    before = container.condition
    container.stop(0)
    assert container.status == "exited"
    assert not lives(container), traces(container, before)
    if chance.random() < 0.6:
        container.remove()


@pytest.mark.parametrize("part", range(ROOTS))
def test_crashes(public_directory: Path, public_rootfs: Path, tmp_path: Path, part: int) -> None:
    before = Held.now()
    with kept_engine(public_directory, public_rootfs) as keeper:
        for seed in range(SEED + part, SEED + MOMENTS, ROOTS):
            journal = tmp_path / f"journal-{seed}"
            victim = crash(keeper.root, seed, journal)
            with Engine(keeper.root) as engine:
                try:
                    chance = random.Random(seed)
                    for container in judge(engine, journal):
                        use(container, chance)
                except BaseException as error:
                    error.add_note(f"CRASH_SEED={seed}, killed: {victim}\n{journal.read_text()}")
                    raise
        with closing(sqlite3.connect(keeper.root / "state.db")) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        for container in keeper.containers.list(all=True):
            container.remove(force=True)
        assert not (keeper.root / "containers").exists() or os.listdir(keeper.root / "containers") == []
        eventually(lambda: not monitors(keeper.root), "a monitor is left")
    assert not leaks_since(before)
