"""How a container is at a moment: from its record, the state that its monitor keeps, and whether its lock is held."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pyrt.container.record import KeptContainer
from pyrt.runtime.protocol import MonitorState

__all__ = ["Condition", "observe"]

Status = Literal["created", "running", "paused", "restarting", "exited"]
_KILLED = 137
_LIVE = ("starting", "running", "restarting")


@dataclass(frozen=True, slots=True)
class Condition:
    """`status` is as Docker has it; times are nanoseconds since 1970, 0 where it has not happened.

    `exit_code` is None where the program has not ended, and where nobody could note how; `pid` is 0 where none runs.
    `is_lost` says that the container's monitor was killed: then what was left of it is ended by who notices, it counts
    as killed, and its policy does not start it again.
    """

    status: Status
    exit_code: int | None = None
    pid: int = 0
    started_ns: int = 0
    finished_ns: int = 0
    is_oom_killed: bool = False
    is_stopped: bool = False
    is_lost: bool = False
    restarts: int = 0
    lost_log_bytes: int = 0
    error: str = ""
    cgroup: str = ""

    @property
    def is_running(self) -> bool:
        """Whether its program runs, or is paused, or about to be started again."""
        return self.status in ("running", "paused", "restarting")


def observe(container: KeptContainer, directory: str, is_locked: Callable[[], bool]) -> Condition:
    """Say how a container is; `is_locked` is asked only where that matters."""
    if container.has_run:
        runs = container.exit_code is None and is_locked()
        return Condition("running" if runs else "exited", container.exit_code)
    state = MonitorState.read(directory)
    if state is None:
        return Condition("created", error=container.error)
    if state.status in _LIVE and not is_locked():
        state = MonitorState.read(directory) or state  # it may have ended between the two looks
        if state.status in _LIVE:
            return _lost(state)
    return _told(state, container.error)


def _lost(state: MonitorState) -> Condition:
    return Condition(
        "exited",
        _KILLED,
        started_ns=state.started_ns,
        is_stopped=True,
        is_lost=True,
        restarts=state.restarts,
        error="its monitor was killed, and the container with it",
        cgroup=state.cgroup,
    )


def _told(state: MonitorState, error: str) -> Condition:
    status: Status = "exited"
    if state.status in ("starting", "running"):
        status = "paused" if state.is_paused else "running"
    elif state.status == "restarting":
        status = "restarting"
    elif state.status == "failed" and not state.started_ns:
        status = "created"
    return Condition(
        status,
        None if status in ("running", "paused") else state.exit_code,
        pid=state.pid,
        started_ns=state.started_ns,
        finished_ns=state.finished_ns,
        is_oom_killed=state.is_oom_killed,
        is_stopped=state.is_stopped,
        restarts=state.restarts,
        lost_log_bytes=state.lost_log_bytes,
        error=error if state.status == "failed" else "",
        cgroup=state.cgroup,
    )
