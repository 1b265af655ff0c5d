"""`pyrt doctor`: what works on this host, what does not, why, and what would change that.

Exit code 0 where containers can run, 1 where they cannot.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from pyrt.cli.checks import CONTAINER, Check, examine
from pyrt.state import default_root

__all__ = ["can_run", "command", "in_lines"]

COLOURS = {"ok": "green", "limited": "yellow", "missing": "red"}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Write JSON: an object with `ok` and a list of `checks`.")
@click.pass_obj
def command(root: str | None, as_json: bool) -> int:
    """Say what works on this host, what does not, why, and what would change that.

    The exit code is 0 where containers can run, and 1 where they cannot.
    """
    checks = examine(Path(default_root() if root is None else root))
    if as_json:
        click.echo(in_json(checks))
    elif sys.stdout.isatty():
        show_table(checks)
    else:
        click.echo("\n".join(in_lines(checks)))
    return 0 if can_run(checks) else 1


def can_run(checks: Sequence[Check]) -> bool:
    """Say whether a container ran."""
    return any(check.name == CONTAINER and check.state == "ok" for check in checks)


def in_json(checks: Sequence[Check]) -> str:
    """Give the checks for programs."""
    import json

    return json.dumps({"ok": can_run(checks), "checks": [asdict(check) for check in checks]}, indent=2)


def in_lines(checks: Sequence[Check]) -> list[str]:
    """Give the checks as plain text, what would change something below what it changes."""
    width = max((len(check.name) for check in checks), default=0)
    lines = []
    for check in checks:
        lines.append(f"{check.state:8}{check.name:{width}}  {check.reason}".rstrip())
        if check.mend:
            lines.append(f"{'':{8 + width}}  → {check.mend}")
    return lines


def show_table(checks: Sequence[Check]) -> None:
    """Draw the checks on a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("Check", "State"):
        table.add_column(title, no_wrap=True)
    table.add_column("Why, and what would change it", overflow="fold")
    for check in checks:
        why = Text(check.reason)
        if check.mend:
            why.append(f"\n→ {check.mend}", style="bold")
        table.add_row(check.name, Text(check.state, style=COLOURS[check.state]), why)
    Console().print(table)
