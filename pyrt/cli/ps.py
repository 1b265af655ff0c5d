"""`pyrt ps`: the containers that there are, as docker lists them."""

from __future__ import annotations

import time
from typing import Any

import click

from pyrt.cli.shared import filters, format_option, opened, read_filters, verb
from pyrt.cli.table import is_table, print_rows
from pyrt.cli.template_values import sprintf
from pyrt.cli.units import ago, duration
from pyrt.container import Condition, Container
from pyrt.image import Image

__all__ = ["command", "status_of"]

HEADINGS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "State": "STATE",
    "Ports": "PORTS",
    "Names": "NAMES",
    "Size": "SIZE",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Networks": "NETWORKS",
}
COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
COMMAND_LETTERS = 20


@verb("ps")
@click.option("-a", "--all", "show_all", is_flag=True, help="Also those that do not run.")
@click.option("-n", "--last", type=int, default=-1, metavar="NUMBER", help="The last so many that were made.")
@click.option("-l", "--latest", is_flag=True, help="The last one that was made.")
@click.option("--no-trunc", is_flag=True, help="Show everything in full.")
@click.option("-q", "--quiet", is_flag=True, help="Print ids alone.")
@filters
@format_option
@click.pass_obj
def command(
    root: str | None,
    show_all: bool,
    last: int,
    latest: bool,
    no_trunc: bool,
    quiet: bool,
    filters: tuple[str, ...],
    form: str | None,
) -> None:
    """List the containers that run, the newest first.

    Filters are id, name, label, status, exited, ancestor, before and since.
    """
    limit = 1 if latest and last < 0 else last
    with opened(root) as engine:
        found = engine.containers.list(all=show_all, filters=read_filters(filters), limit=limit)
        rows = [_row(each, no_trunc) for each in found]
    print_rows(rows, COLUMNS, HEADINGS, "{{.ID}}" if quiet and is_table(form) else form)


def _row(container: Container[Image], no_trunc: bool) -> dict[str, Any]:
    condition, created = container.condition, container.created_ns / 1e9
    words = " ".join(f"'{each}'" if " " in each else each for each in container.command)
    words = words.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if not no_trunc and len(words) > COMMAND_LETTERS:
        words = words[: COMMAND_LETTERS - 1] + "…"
    return {
        "ID": container.id if no_trunc else container.short_id,
        "Image": container.image,
        "Command": sprintf("%q", [words]),
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(created)),
        "RunningFor": ago(created, time.time()),
        "Status": status_of(condition, time.time()),
        "State": condition.status,
        "Ports": "",
        "Names": container.name,
        "Size": "N/A",
        "Labels": ",".join(f"{name}={value}" for name, value in sorted(container.labels.items())),
        "Mounts": "",
        "LocalVolumes": "0",
        "Networks": "",
    }


def status_of(condition: Condition, now_seconds: float) -> str:
    """Say in words how a container is, as docker does."""

    def since(moment_ns: int) -> str:
        return duration(now_seconds - moment_ns / 1e9)

    match condition.status:
        case "created":
            return "Created"
        case "running" | "paused":
            paused = " (Paused)" if condition.status == "paused" else ""
            return f"Up {since(condition.started_ns)}{paused}" if condition.started_ns else "Up"
        case "restarting":
            return f"Restarting ({condition.exit_code}) {since(condition.finished_ns)} ago"
    code = "" if condition.exit_code is None else f" ({condition.exit_code})"
    return f"Exited{code} {since(condition.finished_ns)} ago" if condition.finished_ns else f"Exited{code}"
