"""Gates, tripwires and the shared root file system of all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.gates import GATES, must_work, why_shut
from tests.rootfs import make_rootfs
from tests.tripwires import Held, leaks_since

settings.register_profile("dev", deadline=None, database=None)
settings.register_profile("ci", deadline=None, database=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_configure(config: pytest.Config) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup(1) leaves it ignored, and what tests start would inherit that


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--only-needs", metavar="GATE", choices=[*GATES], help="run only the tests that ask for GATE")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    gate = config.getoption("--only-needs")
    if gate is None:
        return
    chosen = [item for item in items if any(gate in mark.args for mark in item.iter_markers("needs"))]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for gate in mark.args:
            _pass(gate)


def _pass(gate: str) -> None:
    if gate not in GATES:
        pytest.fail(f"there is no gate {gate!r}; gates are {', '.join(GATES)}", pytrace=False)
    reason = why_shut(gate)
    if reason is None:
        return
    if gate in must_work():
        pytest.fail(f"{gate} must work here, but {reason}", pytrace=False)
    pytest.skip(f"needs {gate}: {reason}")


@pytest.fixture(scope="session", autouse=True)
def nothing_left_by_the_session() -> Iterator[None]:
    before = Held.now()
    yield
    leaks = leaks_since(before)
    assert not leaks, "the tests left behind:\n" + "\n".join(leaks)


@pytest.fixture(autouse=True)
def nothing_left(nothing_left_by_the_session: None) -> Iterator[None]:
    """Fail a test that leaves a descriptor, child process, mount or cgroup behind."""
    before = Held.now()
    yield
    leaks = leaks_since(before)
    assert not leaks, "the test left behind:\n" + "\n".join(leaks)


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with busybox, the users root and app (1000, also in group extra) and /bin/nop; never write to it."""
    return make_rootfs(tmp_path_factory.mktemp("rootfs"))


@pytest.fixture
def root_or_user() -> str:
    """Say who runs containers here, "root" or "user" (in a user namespace); skip where neither can."""
    if why_shut("root") is None:
        return "root"
    _pass("userns")
    return "user"
