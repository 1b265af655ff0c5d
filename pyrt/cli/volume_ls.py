"""`pyrt volume ls`: the volumes of the root."""

from __future__ import annotations

import click

from pyrt.cli.shared import filters, format_option, opened, read_filters, verb
from pyrt.cli.table import is_table, print_rows

__all__ = ["command"]

_NOT_HERE = dict.fromkeys(("Availability", "Group", "Links", "Size", "Status"), "N/A")
HEADINGS = {
    "Driver": "DRIVER",
    "Name": "VOLUME NAME",
    "Scope": "SCOPE",
    "Mountpoint": "MOUNTPOINT",
    "Labels": "LABELS",
    **{name: name.upper() for name in _NOT_HERE},
}


@verb("ls")
@click.option("-q", "--quiet", is_flag=True, help="Print names alone.")
@filters
@format_option
@click.pass_obj
def command(root: str | None, quiet: bool, filters: tuple[str, ...], form: str | None) -> None:
    """List volumes, by name.

    Filters are dangling=true|false, driver=NAME, label=KEY[=VALUE] and name=PART.
    """
    wanted = read_filters(filters)
    with opened(root) as engine:
        found = [each.attrs for each in engine.volumes.list(wanted)]
    rows = [
        {
            **{name: each[name] for name in ("Driver", "Name", "Scope", "Mountpoint")},
            "Labels": ",".join(f"{key}={value}" for key, value in sorted((each["Labels"] or {}).items())),
            **_NOT_HERE,
        }
        for each in found
    ]
    print_rows(rows, ["Driver", "Name"], HEADINGS, "{{.Name}}" if quiet and is_table(form) else form)
