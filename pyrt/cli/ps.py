"""`pyrt ps`: the containers that were kept."""

from __future__ import annotations

import shlex
import time

import click

from pyrt.cli.shared import format_option, opened, verb
from pyrt.cli.table import is_table, print_rows
from pyrt.cli.units import ago

__all__ = ["command"]

HEADINGS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "Names": "NAMES",
}
COMMAND_LETTERS = 20


@verb("ps")
@click.option("-a", "--all", "show_all", is_flag=True, help="Also those that have ended.")
@click.option("--no-trunc", is_flag=True, help="Show everything in full.")
@click.option("-q", "--quiet", is_flag=True, help="Print ids alone.")
@format_option
@click.pass_obj
def command(root: str | None, show_all: bool, no_trunc: bool, quiet: bool, form: str | None) -> None:
    """List the containers that are kept, the newest first."""
    rows = []
    with opened(root) as engine:
        for each in engine.containers.list():
            status = each.status
            if status != "running" and not show_all:
                continue
            words = shlex.join(each.command)
            if not no_trunc and len(words) > COMMAND_LETTERS:
                words = words[: COMMAND_LETTERS - 1] + "…"
            code = "" if each.exit_code is None else f" ({each.exit_code})"
            rows.append(
                {
                    "ID": each.id if no_trunc else each.short_id,
                    "Image": each.image,
                    "Command": f'"{words}"',
                    "RunningFor": ago(each.created_ns / 1e9, time.time()),
                    "Status": "Up" if status == "running" else f"Exited{code}",
                    "Names": each.name,
                }
            )
    print_rows(rows, list(HEADINGS), HEADINGS, "{{.ID}}" if quiet and is_table(form) else form)
