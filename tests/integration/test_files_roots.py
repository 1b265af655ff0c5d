"""The roots of containers, running and stopped, of every kind of rights: one contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from pyrt.layer import Root
from tests.containers import Shell
from tests.suites.roots import FILL, RootsSuite

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
