"""`pyrt stats`: what containers use, each second anew.

A share of the processors is what was used between two samples. `--no-stream` takes its two half a second apart: a
single one could only give the average of a whole life, or nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import click

from pyrt.cli.complete import container_names
from pyrt.cli.shared import format_option, opened, verb
from pyrt.cli.table import listing
from pyrt.cli.units import binary_size, size
from pyrt.container import Container
from pyrt.engine import Engine
from pyrt.errors import NotFound, WrongState
from pyrt.image import Image

__all__ = ["command", "row"]

HEADINGS = {
    "BlockIO": "BLOCK I/O",
    "CPUPerc": "CPU %",
    "Container": "CONTAINER",
    "ID": "CONTAINER ID",
    "MemPerc": "MEM %",
    "MemUsage": "MEM USAGE / LIMIT",
    "Name": "NAME",
    "NetIO": "NET I/O",
    "PIDs": "PIDS",
}
COLUMNS = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")
INTERVAL_SECONDS, GLANCE_SECONDS = 1.0, 0.5
HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
Samples = dict[str, dict[str, Any]]


@verb("stats")
@click.option("-a", "--all", "show_all", is_flag=True, help="Also those that do not run.")
@click.option("--no-stream", is_flag=True, help="Print one list, and end.")
@click.option("--no-trunc", is_flag=True, help="Show ids in full.")
@format_option
@click.argument("names", metavar="[CONTAINER...]", nargs=-1, shell_complete=container_names)
@click.pass_obj
def command(
    root: str | None, names: tuple[str, ...], show_all: bool, no_stream: bool, no_trunc: bool, form: str | None
) -> None:
    """Show what containers use: those that are named, or all that run."""
    with opened(root) as engine:
        for rows in _lists(engine, names, show_all, no_stream, no_trunc):
            lines = listing(rows, COLUMNS, HEADINGS, form)
            if no_stream or not sys.stdout.isatty():
                click.echo("\n".join(lines))
            else:
                click.echo(HOME + "".join(f"{line}{CLEAR_LINE}\n" for line in lines) + CLEAR_BELOW, nl=False)


def _lists(
    engine: Engine, names: Sequence[str], show_all: bool, no_stream: bool, no_trunc: bool
) -> Iterator[list[dict[str, Any]]]:
    """Give the rows of each second; the names are looked for once, to say at once what is none."""
    named = [engine.containers.get(name) for name in names]
    before: Samples = {}
    is_first = True
    while True:
        found = named or engine.containers.list(all=show_all)
        now = _samples(found)
        if not (is_first and no_stream):
            yield [row(each, now.get(each.id), before.get(each.id), no_trunc) for each in found]
        if no_stream and not is_first:
            return
        before, is_first = now, False
        time.sleep(GLANCE_SECONDS if no_stream else INTERVAL_SECONDS)


def _samples(found: Sequence[Container[Image]]) -> Samples:
    samples = {}
    for each in found:
        with suppress(WrongState, NotFound):
            samples[each.id] = each.stats(stream=False)
    return samples


def row(
    container: Container[Image], now: Mapping[str, Any] | None, before: Mapping[str, Any] | None, no_trunc: bool = False
) -> dict[str, Any]:
    """Give the fields of a container, with `--` for what is not known of one that does not run."""
    id = container.id if no_trunc else container.short_id
    names = {"Container": id, "ID": id, "Name": container.name}
    if now is None:
        pairs = dict.fromkeys(("MemUsage", "NetIO", "BlockIO"), "-- / --")
        return {**names, **pairs, **dict.fromkeys(("CPUPerc", "MemPerc", "PIDs"), "--")}
    memory = now["memory_stats"]
    cached = memory["stats"]["inactive_file"]
    used = memory["usage"] - cached if cached < memory["usage"] else memory["usage"]
    moved = {each["op"]: each["value"] for each in now["blkio_stats"]["io_service_bytes_recursive"]}
    return {
        **names,
        "CPUPerc": f"{cpu_percent(now, before):.2f}%",
        "MemUsage": f"{binary_size(used)} / {binary_size(memory['limit'])}",
        "MemPerc": f"{used / memory['limit'] * 100:.2f}%",
        "NetIO": "0B / 0B",
        "BlockIO": f"{size(moved.get('read', 0))} / {size(moved.get('write', 0))}",
        "PIDs": str(now["pids_stats"]["current"]),
    }


def cpu_percent(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> float:
    """Give the share of one processor between two samples; 0 where there is but one."""
    if before is None:
        return 0.0
    new, old = now["cpu_stats"], before["cpu_stats"]
    used = new["cpu_usage"]["total_usage"] - old["cpu_usage"]["total_usage"]
    passed = new["system_cpu_usage"] - old["system_cpu_usage"]
    return float(used / passed * new["online_cpus"] * 100) if used > 0 and passed > 0 else 0.0
