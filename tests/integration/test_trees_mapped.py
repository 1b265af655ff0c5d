"""pyrt.layer.mapped: trees that belong to the ids of a user namespace, and the processes that work on them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pyrt.errors import PyrtError, SyscallError, Unsupported
from pyrt.layer import MappedTrees, worker_process
from pyrt.oci.spec import IdMapping
from pyrt.runtime.rootless import IdMappings, UserNamespaces, own_mappings
from tests.suites.trees import HostUid, TreesSuite, archive, directory, file
from tests.suites.trees_merged import MergedTreesSuite, workers

TOP = Path(__file__).resolve().parents[2]
PRIVATE = (IdMapping(0, 1_900_000_000, 65536),)  # ids that nobody has
OWNER = """
import os, signal, sys
from pyrt.layer import MappedTrees
from pyrt.runtime.rootless import UserNamespaces, own_mappings

def chunks():
    yield bytes(512)
    child = os.fork()  # which has copies of all connections
    if child == 0:
        os.close(1)
        signal.pause()
    print(child, flush=True)
    signal.pause()

with UserNamespaces() as namespaces, MappedTrees(lambda: namespaces.get(own_mappings())) as trees:
    trees.apply(chunks(), sys.argv[1])
"""


@pytest.fixture
def mappings() -> IdMappings:
    return IdMappings(PRIVATE, PRIVATE) if os.geteuid() == 0 else own_mappings()


@pytest.fixture
def namespaces() -> Iterator[UserNamespaces]:
    with UserNamespaces() as made:
        yield made


@pytest.fixture
def trees(namespaces: UserNamespaces, mappings: IdMappings, top: Path) -> Iterator[MappedTrees]:
    with MappedTrees(lambda: namespaces.get(mappings)) as trees:
        yield trees
        for name in os.listdir(top):
            if (top / name).is_dir():
                trees.remove(str(top / name))


@pytest.fixture
def top(tmp_path: Path, mappings: IdMappings) -> Path:
    """A directory of the namespace's root, below one that is closed to all of its other ids."""
    tmp_path.chmod(0o700)
    top = tmp_path / "top"
    top.mkdir()
    if os.geteuid() == 0:
        os.chown(top, mappings.uids[0].host_id, mappings.gids[0].host_id)
    return top


@pytest.fixture
def host_uid(mappings: IdMappings) -> HostUid:
    def host_uid(uid: int) -> int:
        line = next(line for line in mappings.uids if line.container_id <= uid < line.container_id + line.size)
        return line.host_id + uid - line.container_id

    return host_uid


def ended(pid: int) -> bool:
    """Wait until a process that may be another's child has ended."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], 60)[0])
    finally:
        os.close(pidfd)


class Mapped(TreesSuite, MergedTreesSuite):
    def test_ids_beyond_the_namespace_are_refused(self, trees: MappedTrees, top: Path) -> None:
        with pytest.raises(PyrtError) as caught:
            trees.apply(archive(file("a", uid=3_000_000_000)), str(top / "layer"))

        assert "a" in str(caught.value)

    def test_a_process_serves_several_requests_until_the_end(self, trees: MappedTrees, top: Path) -> None:
        trees.make_directory(str(top / "one"))
        first = workers()
        trees.make_directory(str(top / "two"))
        second = workers()
        trees.remove(str(top / "one"))
        trees.close()

        assert len(first) == 1
        assert first == second
        assert workers() == []
        with pytest.raises(ValueError, match="closed"):
            trees.remove(str(top / "two"))
        (top / "two").rmdir()

    def test_nothing_of_the_host_program_is_in_the_process(
        self, trees: MappedTrees, top: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PYRT_TEST_SECRET", "x")
        with open(top.parent / "secret", "w") as secret:
            os.set_inheritable(secret.fileno(), True)
            trees.make_directory(str(top / "one"))
            process = Path("/proc", str(workers()[0]))

            if os.geteuid() == 0:
                held = {os.readlink(path).partition(":")[0] for path in (process / "fd").iterdir()}
                assert held == {"socket", "/memfd", "anon_inode"}  # the owner's pidfd
            else:
                with pytest.raises(PermissionError):  # undumpable, as other users' are
                    os.listdir(process / "fd")

    @pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSEGV])
    def test_a_process_that_dies_at_work_is_reported_and_replaced(
        self, trees: MappedTrees, top: Path, end: signal.Signals
    ) -> None:
        def chunks() -> Iterable[bytes]:
            yield bytes(512)
            os.kill(workers()[0], end)
            while True:
                yield bytes(1 << 20)

        with pytest.raises(PyrtError, match=f"ended \\(killed by signal {end.value}\\)"):
            trees.apply(chunks(), str(top / "layer"))
        trees.remove(str(top / "layer"))

        trees.apply(archive(file("a")), str(top / "layer"))
        assert len(workers()) == 1

    def test_an_idle_process_that_died_is_replaced(self, trees: MappedTrees, top: Path) -> None:
        trees.make_directory(str(top / "one"))
        [before] = workers()
        os.kill(before, signal.SIGKILL)
        assert ended(before)

        trees.make_directory(str(top / "two"))

        assert workers() != [before]

    def test_idle_processes_end_and_no_request_is_lost(
        self, namespaces: UserNamespaces, mappings: IdMappings, top: Path
    ) -> None:
        seen = set()
        with MappedTrees(lambda: namespaces.get(mappings), idle_seconds=0.001) as trees:
            for number in range(20):
                trees.make_directory(str(top / "one"))
                trees.remove(str(top / "one"))
                seen.update(workers())
                if number % 2:
                    assert all(ended(pid) for pid in workers())

        assert len(seen) > 9
        assert os.listdir(top) == []

    def test_ctrl_c_ends_the_process(self, trees: MappedTrees, top: Path) -> None:
        def chunks() -> Iterable[bytes]:
            yield from archive(directory("a", uid=7, mode=0o700), file("a/f", uid=7))
            os.kill(os.getpid(), signal.SIGINT)
            yield b""

        with pytest.raises(KeyboardInterrupt):
            trees.apply(chunks(), str(top / "layer"))

        assert workers() == []
        trees.remove(str(top / "layer"))
        assert os.listdir(top) == []

    def test_ctrl_c_reaches_a_wait_for_an_answer(self, trees: MappedTrees, top: Path) -> None:
        trees.make_directory(str(top / "one"))
        [pid] = workers()
        os.kill(pid, signal.SIGSTOP)
        interrupt = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        interrupt.start()

        with pytest.raises(KeyboardInterrupt):
            trees.remove(str(top / "one"))

        interrupt.join()
        assert workers() == []

    def test_a_forked_child_has_its_own_processes(self, trees: MappedTrees, top: Path) -> None:
        trees.make_directory(str(top / "one"))
        before = workers()

        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                trees.remove(str(top / "one"))
                trees.make_directory(str(top / "two"))
                trees.close()
                os._exit(0)
            os._exit(1)
        _, status = os.waitpid(child, 0)
        trees.make_directory(str(top / "three"))

        assert status == 0
        assert sorted(os.listdir(top)) == ["three", "two"]
        assert workers() == before

    def test_a_forgotten_one_warns(self, namespaces: UserNamespaces, mappings: IdMappings, top: Path) -> None:
        trees = MappedTrees(lambda: namespaces.get(mappings))
        trees.make_directory(str(top / "one"))

        with pytest.warns(ResourceWarning, match="unclosed"):
            del trees

    @pytest.mark.parametrize(
        ("program", "said"),
        [
            ("raise SystemExit('no pyrt here')", "exit status 1"),
            ("import os; os.write(0, b'x' * 100)", "announces"),
            ("import os; os.write(0, b'\\x02\\0\\0\\0\\0\\0\\0\\0[]')", ""),
            ("import os; os.write(0, b'\\x09\\0\\0\\0\\0\\0\\0\\0[]')", ""),
        ],
    )
    def test_a_process_that_speaks_nonsense_is_no_deadlock(
        self, trees: MappedTrees, top: Path, monkeypatch: pytest.MonkeyPatch, program: str, said: str
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(worker_process, "_PROGRAM", program)
            with pytest.raises(PyrtError, match=f"works on trees has ended.*{said}") as caught:
                trees.make_directory(str(top / "one"))

        if "no pyrt" in program:
            assert caught.value.__notes__ == ["no pyrt here"]
        assert workers() == []

    def test_without_a_python_it_is_unsupported(
        self, trees: MappedTrees, top: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", "")
            with pytest.raises(Unsupported):
                trees.make_directory(str(top / "one"))


@pytest.mark.needs("root", "userns")
class TestOfRoot(Mapped):
    """With a mapping to ids that nobody has."""


@pytest.mark.needs("userns", "newuidmap")
class TestOfAUser(Mapped):
    """With subordinate ids."""


@pytest.mark.needs("userns", "newuidmap")
def test_the_process_ends_with_its_owner(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path / "layer")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=TOP) as owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        try:
            [pid] = workers(owner.pid)

            owner.kill()

            assert ended(pid)
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.needs("userns")
def test_a_namespace_without_root_is_reported(tmp_path: Path) -> None:
    alone = IdMappings((IdMapping(5, os.geteuid(), 1),), (IdMapping(5, os.getegid(), 1),))

    with (
        UserNamespaces() as namespaces,
        MappedTrees(lambda: namespaces.get(alone)) as trees,
        pytest.raises(SyscallError, match="no root"),
    ):
        trees.make_directory(str(tmp_path / "one"))

    assert workers() == []
