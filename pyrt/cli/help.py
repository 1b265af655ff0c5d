"""What `pyrt run --help`, `pyrt create --help` and `pyrt exec --help` show."""

from __future__ import annotations

from typing import Literal

import click

from pyrt.cli import exec_flags, flags
from pyrt.cli.arguments import Flag

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
ABOUT_EXEC = """
Run a further program in a container that runs, as its own program does where no flag says otherwise. It ends with the
container, and, unless -d is given, with this command. What it leaves behind goes on in the container.
"""
EXIT_CODES = """
The exit code is the program's own; 128+n where signal n ended it, 137 where it ran out of memory; 127 and 126 where it
was not found or cannot be executed; 125 where pyrt failed; 124 after --timeout.
"""
NOT_RUNNING = """
It is 1 where the container is not there or does not run, and where a program cannot be started with -d.
"""
PAGES = {
    "create": ("IMAGE [--] [COMMAND [ARG…]]", (ABOUT_CREATE,)),
    "exec": ("CONTAINER [--] COMMAND [ARG…]", (ABOUT_EXEC, f"{EXIT_CODES} {NOT_RUNNING}")),
    "run": ("IMAGE [--] [COMMAND [ARG…]]", (ABOUT, EXIT_CODES)),
}


def show(verb: Literal["create", "exec", "run"] = "run") -> None:
    """Print how a verb that reads its own words is called, with every flag."""
    words, paragraphs = PAGES[verb]
    formatter = click.HelpFormatter(width=WIDTH)
    formatter.write_usage(f"pyrt {verb}", f"[FLAGS] {words}")
    for paragraph in paragraphs:
        formatter.write_paragraph()
        formatter.write_text(" ".join(paragraph.split()))
    for section, shown in (exec_flags if verb == "exec" else flags).SECTIONS.items():
        rows = [(_spellings(flag), flag.help) for flag in shown if flag.help or flag.metavar]
        with formatter.section(section or "Other"):
            formatter.write_dl(rows, col_max=36)
    click.echo(formatter.getvalue(), nl=False)


def _spellings(flag: Flag) -> str:
    return f"{', '.join(flag.names)} {flag.metavar}".rstrip()
