"""The roots of containers, running and stopped, of every kind of rights: one contract."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing

import pytest

from pyrt import Engine, PyrtError
from pyrt.layer import Root
from pyrt.layer.namespaced import JoinedRoot
from pyrt.layer.worker_process import Worker
from tests.containers import Shell
from tests.suites.roots import FILL, RootsSuite, read

pytestmark = pytest.mark.needs("overlay")


class TestRunning(RootsSuite):
    @pytest.fixture
    def root(self, box: Shell) -> Iterator[Root]:
        with box.start(f"{FILL} echo; exec sleep 1000", stdout=-1) as process:
            assert process.stdout is not None and process.stdout.readline() == b"\n"
            with closing(process.open_root()) as root:
                yield root


class TestStopped(RootsSuite):
    @pytest.fixture
    def root(self, shell: Shell) -> Iterator[Root]:
        shell.run("sh", "-ec", FILL, check=True, remove=False, name="box")
        container = shell.engine.containers.get("box")
        with closing(container._open_root()) as root:
            yield root
        container.remove()


@pytest.fixture
def joined(engine: Engine, image: str) -> Iterator[JoinedRoot]:
    """The root of a container with a user namespace."""
    with Shell(engine, image, userns_mode="private").start("exec sleep 1000") as process:
        root = process.open_root()
        assert isinstance(root, JoinedRoot)
        with closing(root):
            yield root


@pytest.mark.needs("userns")
def test_a_process_that_is_killed_is_told_and_replaced(joined: JoinedRoot) -> None:
    assert joined.stat("/etc/passwd").st_uid == 0
    assert joined._worker is not None
    signal.pidfd_send_signal(joined._worker.pidfd, signal.SIGKILL)

    with pytest.raises(PyrtError, match="has ended"):
        joined.stat("/etc/passwd")
    assert joined.stat("/etc/passwd").st_uid == 0


@pytest.mark.needs("userns")
def test_an_answer_that_nobody_waited_for_is_nobody_elses(joined: JoinedRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Worker, descriptors: list[int] | None = None) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Worker, "answer", interrupted)
        with pytest.raises(KeyboardInterrupt):
            joined.open("/etc/passwd", os.O_RDONLY)

    assert read(joined, "/etc/group").startswith(b"root")


@pytest.mark.needs("userns")
def test_a_root_that_is_forgotten_warns(engine: Engine, image: str) -> None:
    for mode in ("private",) if os.geteuid() else ("private", "host"):
        with Shell(engine, image, userns_mode=mode).start("exec sleep 1000") as process:
            root = process.open_root()
            with pytest.warns(ResourceWarning, match="unclosed"):
                del root
