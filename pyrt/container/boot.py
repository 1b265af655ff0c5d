"""What is started again when the machine has come up."""

from __future__ import annotations

from typing import Any

from pyrt.container import life
from pyrt.container.create_options import check_create
from pyrt.container.documents import options_from_document
from pyrt.container.keeping import Keeping
from pyrt.container.record import KeptContainer
from pyrt.runtime.protocol import MonitorState

__all__ = ["starts_at_boot"]


def starts_at_boot(keeping: Keeping[Any], kept: KeptContainer) -> bool:
    """Say whether a container is to be started after the machine came up: one that has run, and whose policy says so.

    `always` counts also where it was stopped; `unless-stopped` where it was not. One that ran when the machine went
    down has not been stopped, while one whose monitor was killed since then counts as killed.
    """
    policy, _ = check_create(options_from_document(kept.options))
    if not policy.is_for_boot or kept.has_run:
        return False
    now = life.condition(keeping, kept)
    if now.is_running or not now.started_ns:
        return False
    if policy.name == "always":
        return True
    if now.is_lost and now.started_ns < _boot_ns():
        state = MonitorState.read(keeping.store.directory(kept))
        return state is None or not state.is_stopped
    return not now.is_stopped


def _boot_ns() -> int:
    """Give when the machine came up, in nanoseconds since 1970 (proc(5), btime)."""
    with open("/proc/stat", encoding="ascii") as file:
        line = next(each for each in file if each.startswith("btime "))
    return int(line.split()[1]) * 1_000_000_000
