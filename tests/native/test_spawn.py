"""csrc/prt_spawn.h: what a child finds, what a failure leaves, and that the host program stays as it was."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.native.library import Csrc, Failure

WALL = 0x40000000
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWPID = 0x00020000, 0x04000000, 0x20000000
PR_GET_DUMPABLE, PR_SET_DUMPABLE = 3, 4
NULL = os.devnull
libc = ctypes.CDLL(None, use_errno=True)


class Ran:
    """What a witness told, by its words, and its exit status."""

    def __init__(self, told: str, status: int) -> None:
        self.told = dict(line.split(":", 1) for line in told.splitlines())
        self.status = status

    def __getitem__(self, word: str) -> list[str]:
        return self.told[word].split()


def run(
    csrc: Csrc,
    witness: int | Path,
    *arguments: bytes,
    more: Sequence[int] = (),
    namespaces: int = 0,
    userns: int = -1,
    joins: Sequence[int] = (),
) -> Ran:
    """Spawn a witness, read what it tells, and wait for it."""
    reading, writing = os.pipe()
    with open(NULL, "rb") as null, open(reading, "rb") as told:
        try:
            fds = [null.fileno(), writing, 2, *more]
            _, pidfd = csrc.spawn(witness, (b"w", *arguments), fds, namespaces, userns=userns, joins=joins)
        finally:
            os.close(writing)
        text = told.read().decode()
    result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | WALL)
    os.close(pidfd)
    assert result is not None
    return Ran(text, result.si_status)


def children() -> set[int]:
    """Give the children of all threads, zombies too."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has just ended
            found.update(map(int, (task / "children").read_text().split()))
    return found


def test_a_child_has_its_arguments_and_its_descriptors_alone(csrc: Csrc, witness: int) -> None:
    inherited = os.dup(0)
    os.set_inheritable(inherited, True)

    ran = run(csrc, witness, b"7", b"x", more=[0, 0])

    os.close(inherited)
    assert ran.status == 7
    assert ran["args"] == ["w", "7", "x"]
    assert ran["fds"] == ["0", "1", "2", "3", "4"]


def test_descriptors_may_be_where_others_go(csrc: Csrc, witness: int, tmp_path: Path) -> None:
    """0, 1 and 2 are swapped: none may be overwritten before it was copied."""
    ends = [os.pipe() for _ in range(3)]
    writers = [os.dup2(ends[n][1], 40 + n) for n in range(3)]
    for reading, writing in ends:
        os.close(writing)
        os.set_blocking(reading, False)
    reading = ends[1][0]
    with open(NULL, "rb") as null:
        _, pidfd = csrc.spawn(witness, [b"w"], [null.fileno(), writers[1], writers[2], 2, 1, 0])
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED)

    told = os.read(reading, 65536)

    for fd in (pidfd, *writers, *(end for end, _ in ends)):
        os.close(fd)
    assert b"fds: 0 1 2 3 4 5\n" in told


def test_no_handler_and_no_default_reaches_the_child_changed(csrc: Csrc, witness: int) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        ran = run(csrc, witness)
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert ran["SigCgt"] == ["0" * 16]


def test_the_mask_comes_back(csrc: Csrc, witness: int) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        run(csrc, witness)
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
        with pytest.raises(Failure):
            csrc.spawn(witness, [b"w"], [999])
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])


@pytest.mark.needs("root")
def test_namespaces_are_new(csrc: Csrc, witness: int) -> None:
    assert run(csrc, witness, namespaces=CLONE_NEWPID | CLONE_NEWUTS)["pid"] == ["1"]


@pytest.mark.needs("root")
@pytest.mark.parametrize("namespaces", [0, CLONE_NEWNS | CLONE_NEWPID])
def test_a_program_may_be_a_path(csrc: Csrc, witness_path: Path, namespaces: int) -> None:
    assert run(csrc, witness_path, b"3", namespaces=namespaces).status == 3


@pytest.mark.needs("root")
@pytest.mark.parametrize("namespaces", [0, CLONE_NEWNS])
def test_a_path_that_leads_nowhere_is_told(csrc: Csrc, namespaces: int) -> None:
    before = children()
    with pytest.raises(Failure) as caught:
        csrc.spawn(Path("/none"), [b"w"], [0, 1, 2], namespaces)

    assert caught.value.code == errno.ENOENT
    assert children() == before


FAILURES = {
    "descriptor": (errno.EBADF, "dup"),
    "program": (errno.EACCES, "execveat"),
    "namespaces": (errno.EINVAL, "clone3"),
    "cgroup": (errno.EBADF, "clone3"),
    "join": (errno.EBADF, "join cgroup"),
    "count": (errno.E2BIG, "spawn"),
}


@pytest.mark.needs("root")
@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_is_told_and_leaves_no_zombie(csrc: Csrc, witness: int, tmp_path: Path, kind: str) -> None:
    (tmp_path / "text").write_text("no program")
    before = children()
    with open(tmp_path / "text", "rb") as text, pytest.raises(Failure) as caught:
        match kind:
            case "descriptor":
                csrc.spawn(witness, [b"w"], [0, 1, 2, 999])
            case "program":
                csrc.spawn(text.fileno(), [b"w"], [0, 1, 2])
            case "namespaces":
                csrc.spawn(witness, [b"w"], [0, 1, 2], 1)
            case "cgroup":
                csrc.spawn(witness, [b"w"], [0, 1, 2], cgroup=999)
            case "join":
                csrc.spawn(witness, [b"w"], [0, 1, 2], joins=[999])
            case _:
                csrc.spawn(witness, [b"w"], [0] * 129)

    assert (caught.value.code, caught.value.op) == FAILURES[kind]
    assert children() == before


def test_no_descriptor_is_lost_where_none_is_left(csrc: Csrc, witness: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    before = children()
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        with pytest.raises(Failure) as caught:
            csrc.spawn(witness, [b"w"], [0, 1, 2])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert caught.value.code == errno.EMFILE
    assert children() == before


@pytest.mark.needs("userns")
def test_a_namespace_that_cannot_be_joined_is_told(csrc: Csrc, witness: int) -> None:
    before = children()
    with open(NULL, "rb") as null, pytest.raises(Failure) as caught:
        csrc.spawn(witness, [b"w"], [0, 1, 2], userns=null.fileno())

    assert (caught.value.code, caught.value.op) == (errno.EINVAL, "setns")
    assert children() == before


@pytest.mark.needs("root", "userns")
class TestInAUserNamespace:
    """Root of the host, and a namespace that maps it to none of its own ids."""

    @pytest.fixture
    def userns(self) -> object:
        from pyrt.oci.spec import IdMapping
        from pyrt.runtime.rootless import IdMappings, UserNamespaces

        with UserNamespaces() as namespaces:
            ids = (IdMapping(0, 300000, 1000),)
            yield namespaces.get(IdMappings(ids, ids))

    def test_capabilities_survive_the_exec(self, csrc: Csrc, witness: int, userns: int) -> None:
        ran = run(csrc, witness, userns=userns)

        assert ran["CapEff"] == ran["CapBnd"]
        assert int(ran["CapEff"][0], 16) >> 21 & 1

    def test_a_failure_in_there_leaves_nothing(self, csrc: Csrc, witness: int, userns: int) -> None:
        before = children()
        with pytest.raises(Failure) as caught:
            csrc.spawn(witness, [b"w"], [0, 1, 999], userns=userns)

        assert (caught.value.code, caught.value.op) == (errno.EBADF, "dup")
        assert children() == before

    @pytest.mark.parametrize("dumpable", [0, 1])
    def test_the_host_program_stays_as_dumpable_as_it_was(
        self, csrc: Csrc, witness: int, userns: int, dumpable: int
    ) -> None:
        before = libc.prctl(PR_GET_DUMPABLE)
        libc.prctl(PR_SET_DUMPABLE, dumpable)
        seen: set[int] = set()
        over = threading.Event()

        def watch() -> None:
            while not over.is_set():
                seen.add(libc.prctl(PR_GET_DUMPABLE))

        try:
            in_threads(watch, *([lambda: [run(csrc, witness, userns=userns) for _ in range(15)]] * 3), over=over)
        finally:
            after = libc.prctl(PR_GET_DUMPABLE)
            libc.prctl(PR_SET_DUMPABLE, before)

        assert (seen, after) == ({dumpable}, dumpable)


def in_threads(watch: Callable[[], object], *works: Callable[[], object], over: threading.Event) -> None:
    """Run `works` in threads of their own, and `watch` in another until they are done."""
    watcher = threading.Thread(target=watch)
    workers = [threading.Thread(target=work) for work in works]
    watcher.start()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    over.set()
    watcher.join()


def test_many_threads_spawn_while_others_allocate(csrc: Csrc, witness: int) -> None:
    """The memory that children share must come out of it as if they had not been."""
    before = children()
    statuses: list[int] = []
    damage: list[int] = []
    over = threading.Event()

    def allocate() -> None:
        kept: list[tuple[int, bytearray]] = []
        n = 0
        while not over.is_set():
            n += 1
            kept.append((n & 0xFF, bytearray([n & 0xFF]) * (n % 5000)))
            if len(kept) > 300:
                damage.extend(byte for byte, block in kept if block.strip(bytes([byte])))
                kept.clear()

    def work(number: int) -> None:
        for _ in range(20):
            statuses.append(run(csrc, witness, b"%d" % number).status - number)

    in_threads(allocate, *(lambda n=n: work(n) for n in range(4)), over=over)

    assert statuses == [0] * 80
    assert damage == []
    assert children() == before
