"""`pyrt update`: other limits and another restart policy for containers, at once where they run."""

from __future__ import annotations

from typing import Any

import click

from pyrt.cli import values
from pyrt.cli.shared import attempt_each, containers, opened, verb
from pyrt.errors import InvalidOption

__all__ = ["command"]


@verb("update")
@click.option("--blkio-weight", type=int, metavar="10…1000", help="Weight for block devices.")
@click.option("--cpu-period", type=int, metavar="MICROSECONDS")
@click.option("--cpu-quota", type=int, metavar="MICROSECONDS", help="Run time in each period.")
@click.option("-c", "--cpu-shares", type=int, metavar="WEIGHT", help="Relative weight, 2 to 262144.")
@click.option("--cpus", metavar="NUMBER", help="Processors' worth of time.")
@click.option("--cpuset-cpus", metavar="LIST", help="The processors to run on: 0-2,5.")
@click.option("--cpuset-mems", metavar="LIST", help="The memory nodes to use.")
@click.option("-m", "--memory", "mem_limit", metavar="SIZE", help="Memory.")
@click.option("--memory-reservation", "mem_reservation", metavar="SIZE", help="What is left when memory is short.")
@click.option("--memory-swap", "memswap_limit", metavar="SIZE", help="Memory and swap together; -1 is unlimited.")
@click.option("--pids-limit", type=int, metavar="NUMBER", help="Tasks; -1 is unlimited.")
@click.option("--restart", "restart_policy", metavar="POLICY", help="no, always, unless-stopped or on-failure[:N].")
@containers
@click.pass_obj
def command(root: str | None, /, names: tuple[str, ...], **options: Any) -> int:
    """Change the limits and the restart policy of containers."""
    given = {name: value for name, value in options.items() if value is not None}
    if not given:
        raise InvalidOption("you must provide one or more flags when using this command", argument="pyrt update")
    for name, flag in (("mem_limit", "--memory"), ("mem_reservation", "--memory-reservation")):
        if name in given:
            given[name] = values.size(given[name], flag)
    if "memswap_limit" in given:
        given["memswap_limit"] = values.swap(given["memswap_limit"], "--memory-swap")
    if "cpus" in given:
        given["cpus"] = values.number(given["cpus"], "--cpus")
    with opened(root) as engine:
        return attempt_each(engine, names, lambda each: each.update(**given))
