"""`pyrt logs`: what a container has written."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import closing

import click

from pyrt.cli.shared import opened, verb
from pyrt.container import LogLine

__all__ = ["command", "write_lines"]


@verb("logs")
@click.argument("container", metavar="CONTAINER")
@click.option("-f", "--follow", is_flag=True, help="Go on until the container has ended.")
@click.option("-n", "--tail", default="all", metavar="NUMBER", help="Only the last lines (default: all).")
@click.option("--since", metavar="TIME", help="Only what came since: 2026-01-31T12:00:00Z, or 10m for ten minutes ago.")
@click.option("--until", metavar="TIME", help="Only what came until then.")
@click.option("-t", "--timestamps", is_flag=True, help="Show when each line came.")
@click.option("--details", is_flag=True, help="Docker's: logs have no further attributes here.")
@click.pass_obj
def command(
    root: str | None,
    container: str,
    follow: bool,
    tail: str,
    since: str | None,
    until: str | None,
    timestamps: bool,
    details: bool,
) -> None:
    """Show what a container has written: its stdout on stdout, its stderr on stderr."""
    with opened(root) as engine:
        found = engine.containers.get(container)
        with closing(found.log_lines(follow=follow, tail=tail, since=since, until=until)) as lines:
            write_lines(lines, timestamps=timestamps, at_once=follow)


def write_lines(lines: Iterable[LogLine], *, timestamps: bool, at_once: bool) -> None:
    """Write each line to the stream it came by, in order, also where both are one terminal."""
    streams = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}
    last = "stdout"
    for stream, text, stamp in lines:
        if stream != last:
            streams[last].flush()
            last = stream
        streams[stream].write(b"%b %b" % (stamp, text) if timestamps else text)
        if at_once:
            streams[stream].flush()
    streams[last].flush()
