"""How a container is, in docker's words."""

from __future__ import annotations

import pytest

from pyrt.cli.ps import status_of
from pyrt.container import Condition

NOW = 1_000_000
AGO = 10**9 * (NOW - 180)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Condition("created"), "Created"),
        (Condition("running", started_ns=AGO), "Up 3 minutes"),
        (Condition("paused", started_ns=AGO), "Up 3 minutes (Paused)"),
        (Condition("running"), "Up"),
        (Condition("restarting", 1, started_ns=1, finished_ns=AGO), "Restarting (1) 3 minutes ago"),
        (Condition("exited", 0, started_ns=1, finished_ns=AGO), "Exited (0) 3 minutes ago"),
        (Condition("exited", 137, started_ns=AGO, is_lost=True), "Exited (137)"),
        (Condition("exited"), "Exited"),
    ],
)
def test_status(condition: Condition, words: str) -> None:
    assert status_of(condition, NOW) == words
