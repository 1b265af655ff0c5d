"""Limits of a container that are changed while it is kept, at once where it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypedDict, TypeVar, cast

from pyrt.container import life
from pyrt.container.blkio import block_io
from pyrt.container.checks import integer
from pyrt.container.documents import options_from_document
from pyrt.container.host import HostFacts
from pyrt.container.keeping import Keeping
from pyrt.container.limits import cpu, memory, pids
from pyrt.container.options import RunOptions
from pyrt.container.policy import parse_restart
from pyrt.container.record import KeptContainer
from pyrt.errors import InvalidOption
from pyrt.oci.spec import BlockIO, Cpu, Memory, Pids, Resources
from pyrt.runtime.protocol import Policy

__all__ = ["Limits", "update"]

_TOGETHER = (frozenset({"quota", "period"}), frozenset({"limit", "swap"}))
V = TypeVar("V", Memory, Cpu)


class Limits(TypedDict, total=False):
    """What of RunOptions can be changed later; what is None or 0 stays as it is. pids_limit=-1 takes the limit away."""

    mem_limit: int | str | None
    memswap_limit: int | str | None
    mem_reservation: int | str | None
    cpus: float | None
    nano_cpus: int | None
    cpu_shares: int | None
    cpu_period: int | None
    cpu_quota: int | None
    cpuset_cpus: str | None
    cpuset_mems: str | None
    pids_limit: int | None
    blkio_weight: int | None


def update(
    keeping: Keeping[Any],
    kept: KeptContainer,
    restart_policy: str | Mapping[str, str | int] | None,
    limits: Limits,
) -> KeptContainer:
    """Change a container's policy and limits, all or none, and give its record. Raises InvalidOption, Unsupported."""
    given: dict[str, Any] = {name: value for name, value in limits.items() if value not in (None, 0, "")}
    if unknown := set(given) - Limits.__optional_keys__:
        raise InvalidOption("it is not among what can be changed", argument=min(unknown))
    before = options_from_document(kept.options)
    if restart_policy:
        policy = parse_restart(restart_policy)
        if before.get("auto_remove") and policy.name != "no":
            raise InvalidOption("a container that goes at its end is not restarted", argument="restart_policy")
        given["restart_policy"] = {"Name": policy.name, "MaximumRetryCount": policy.retries}
    if set(given) - {"restart_policy"}:
        _one_name(given, before)
        host = keeping.launching.facts()
        after = cast(RunOptions, {**before, **given})
        _apply(keeping, kept, _difference(cast(RunOptions, before), after, host))
    kept = life.change_options(keeping, kept, **given)
    if restart_policy:
        life.update_policy(keeping, kept, Policy[policy.name.replace("-", "_").upper()], policy.retries)
    keeping.emit("update", kept, {})
    return kept


def _one_name(given: dict[str, Any], before: Mapping[str, Any]) -> None:
    """Say processors by the name that the record has, for the other would contradict it."""
    if "nano_cpus" in given and "cpus" in before and "cpus" not in given:
        given["cpus"] = integer(given.pop("nano_cpus"), "nano_cpus", 0) / 10**9
    elif "cpus" in given and before.get("nano_cpus") and "nano_cpus" not in given:
        given["nano_cpus"] = 0


def _apply(keeping: Keeping[Any], kept: KeptContainer, resources: Resources) -> None:
    now = life.condition(keeping, kept)
    if now.is_running and resources != Resources():
        with life.cgroup(keeping, kept, now) as running:
            running.update(resources)


def _difference(before: RunOptions, after: RunOptions, host: HostFacts) -> Resources:
    """Give the limits that change. Raises InvalidOption for what contradicts itself, with what there was."""
    tasks, weight = pids(after), block_io(after)
    if tasks is None and after.get("pids_limit") and before.get("pids_limit") != after.get("pids_limit"):
        tasks = Pids(-1)
    earlier = block_io(before)
    has_weight = weight is not None and weight.weight != (earlier.weight if earlier else None)
    return Resources(
        memory=_changed(memory(before, host), memory(after, host)),
        cpu=_changed(cpu(before, host), cpu(after, host)),
        pids=None if tasks == pids(before) else tasks,
        block_io=BlockIO(weight=weight.weight) if has_weight and weight is not None else None,
    )


def _changed(before: V | None, after: V | None) -> V | None:
    """Give what is other than before; what the kernel takes in one line stays together."""
    if after is None or after == before:
        return None
    names = {each.name for each in fields(after) if getattr(after, each.name) != getattr(before, each.name, None)}
    for group in _TOGETHER:
        names |= group if group & names else frozenset()
    return replace(after, **{each.name: None for each in fields(after) if each.name not in names})
