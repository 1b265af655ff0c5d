from __future__ import annotations

import errno
import os
import signal
import threading
from pathlib import Path

import pytest

from pyrt.errors import ResourceBusy, SyscallError
from pyrt.state import FileLock
from tests.unit.state.children import child, in_fork

HOLD = """
from pyrt.state import FileLock
with FileLock(sys.argv[1], shared=len(sys.argv) > 2):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def free(path: Path, *, shared: bool = False) -> bool:
    lock = FileLock.attempt(path, shared=shared)
    if lock is None:
        return False
    lock.close()
    return True


def test_it_excludes_others_of_this_process(path: Path) -> None:
    with FileLock(path) as lock:
        assert not free(path)
        assert not free(path, shared=True)

    assert not lock.is_held
    assert free(path)


def test_shared_ones_exclude_an_exclusive_one_alone(path: Path) -> None:
    with FileLock(path, shared=True), FileLock(path, shared=True):
        assert free(path, shared=True)
        assert not free(path)

    assert free(path)


def test_it_ends_with_its_process(path: Path) -> None:
    with child(HOLD, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert not free(path)
        process.kill()
        process.wait()
        assert free(path)


def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    with FileLock(path):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_wait_ends_when_it_is_cancelled(path: Path) -> None:
    answers = iter([False, False, True])

    with FileLock(path), pytest.raises(ResourceBusy, match=path.name):
        FileLock(path, cancelled=lambda: next(answers))

    assert list(answers) == []


@pytest.mark.parametrize("arguments", [[], ["cancellable"]])
def test_ctrl_c_ends_a_wait(path: Path, arguments: list[str]) -> None:
    program = """
from pyrt.state import FileLock
try:
    print("waiting", flush=True)
    FileLock(sys.argv[1], cancelled=(lambda: False) if len(sys.argv) > 2 else None)
except KeyboardInterrupt:
    print("interrupted")
"""
    with FileLock(path), child(program, path, *arguments) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)

    assert output == "interrupted\n", errors


def test_who_waited_for_a_removed_file_makes_another(path: Path) -> None:
    asked, locks = threading.Event(), []

    def cancelled() -> bool:
        asked.set()
        return False

    first = FileLock(path)
    thread = threading.Thread(target=lambda: locks.append(FileLock(path, cancelled=cancelled)))
    thread.start()
    assert asked.wait(60)
    first.unlink()
    thread.join()

    with locks[0]:
        assert os.fstat(locks[0].fileno()).st_ino == path.stat().st_ino
        assert not free(path)


def test_no_two_hold_a_file_that_is_removed_and_made_again(path: Path) -> None:
    holders, most = [0], [0]

    def work() -> None:
        for _ in range(200):
            lock = FileLock(path)
            holders[0] += 1
            most[0] = max(most[0], holders[0])
            holders[0] -= 1
            lock.unlink()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most == [1]


def test_only_an_existing_file_is_locked_on_request(path: Path) -> None:
    with pytest.raises(SyscallError) as caught:
        FileLock.attempt(path, create=False)

    assert caught.value.errno == errno.ENOENT
    assert not path.exists()


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(SyscallError):
        FileLock(path)

    assert not (tmp_path / "elsewhere").exists()


def test_a_forked_child_neither_holds_nor_ends_it(path: Path) -> None:
    def in_child() -> None:
        assert not lock.is_held
        lock.close()
        assert not free(path)

    with FileLock(path) as lock:
        assert in_fork(in_child) == 0
        assert lock.is_held
        assert not free(path)


def test_a_forked_child_does_not_keep_it_alive(path: Path) -> None:
    program = """
from pyrt.state import FileLock
lock = FileLock(sys.argv[1])
pid = os.fork()
if pid == 0:
    print("forked", flush=True)
sys.stdin.read()
os._exit(0)
"""
    with child(program, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "forked\n"
        assert not free(path)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert free(path)


def test_a_forgotten_one_warns(path: Path) -> None:
    with pytest.warns(ResourceWarning, match=path.name):
        FileLock(path)

    assert free(path)
