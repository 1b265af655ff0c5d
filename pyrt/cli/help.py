"""What `pyrt run --help` and `pyrt create --help` show."""

from __future__ import annotations

import click

from pyrt.cli.arguments import Flag
from pyrt.cli.flags import SECTIONS

__all__ = ["show"]

WIDTH = 100
ABOUT = """
Run a program in a new container of IMAGE: a name as docker has it, which is pulled where it is missing, `host:` (the
programs of this machine), `rootfs:DIR`, `oci:DIR`, `oci-archive:FILE` or `docker-archive:FILE`. Nothing that it writes
outlives it, except below a bound directory. With -d the container goes on by itself, and is kept until `pyrt rm`.
"""
ABOUT_CREATE = """
Make a container of IMAGE (see `pyrt run --help`) without starting it, and print its id: `pyrt start` starts it, and
`pyrt rm` removes it. Flags that are about the command `pyrt run` itself are refused here.
"""
EXIT_CODES = """
The exit code is the program's own; 128+n where signal n ended it, 137 where it ran out of memory; 127 and 126 where it
was not found or cannot be executed; 125 where pyrt failed; 124 after --timeout.
"""


def show(verb: str = "run") -> None:
    """Print how `pyrt run` or `pyrt create` is called, with every flag."""
    formatter = click.HelpFormatter(width=WIDTH)
    formatter.write_usage(f"pyrt {verb}", "[FLAGS] IMAGE [--] [COMMAND [ARG…]]")
    for paragraph in (ABOUT, EXIT_CODES) if verb == "run" else (ABOUT_CREATE,):
        formatter.write_paragraph()
        formatter.write_text(" ".join(paragraph.split()))
    for section, flags in SECTIONS.items():
        rows = [(_spellings(flag), flag.help) for flag in flags if flag.help or flag.metavar]
        with formatter.section(section or "Other"):
            formatter.write_dl(rows, col_max=36)
    click.echo(formatter.getvalue(), nl=False)


def _spellings(flag: Flag) -> str:
    return f"{', '.join(flag.names)} {flag.metavar}".rstrip()
