"""`pyrt events`: what happens, as it happens."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import click

from pyrt.cli.shared import filters, opened, read_filters, verb

__all__ = ["command"]

_FIELDS = {"Status": "status", "ID": "id", "From": "from", "Scope": "scope", "Time": "time", "TimeNano": "timeNano"}


@verb("events")
@click.option("--since", metavar="TIME", help="Also what was since then: 2026-01-31T12:00:00Z, or 10m (ago).")
@click.option("--until", metavar="TIME", help="Only what happens until then.")
@filters
@click.option("--format", "form", metavar="FORMAT", help="`json`, or a Go template such as `{{.Action}}`.")
@click.pass_obj
def command(root: str | None, since: str | None, until: str | None, filters: tuple[str, ...], form: str | None) -> None:
    """Show what happens to containers, images, volumes and networks, until Ctrl-C.

    Filters are container=NAME, event=ACTION, image=NAME, label=KEY[=VALUE], network=NAME, scope=local, type=TYPE and
    volume=NAME.
    """
    line = _writer(form)
    with opened(root) as engine, engine.events(since, until, read_filters(filters)) as events:
        for event in events:
            click.echo(line(event))


class _Document(dict[str, Any]):
    """An event with the fields' names of docker's templates beside those of JSON."""

    def __missing__(self, key: str) -> Any:
        if key not in _FIELDS:
            raise KeyError(key)
        return self.get(_FIELDS[key], "")


class _Attributes(dict[str, Any]):
    """A map whose keys are no fields: one that is absent is no mistake."""

    def __missing__(self, key: str) -> None:
        return None


def _writer(form: str | None) -> Callable[[dict[str, Any]], str]:
    """Give the function that writes an event. Raises InvalidOption for a template that is none."""
    if form in (None, ""):
        return _line
    if form == "json":
        return lambda event: json.dumps(event, separators=(",", ":"), ensure_ascii=False)
    from pyrt.cli.template import compile_template

    assert form is not None
    template = compile_template(form)

    def filled(event: dict[str, Any]) -> str:
        actor = event["Actor"]
        actor = {"ID": actor["ID"], "Attributes": _Attributes(actor["Attributes"])}
        return template.render(_Document(event | {"Actor": actor}))

    return filled


def _line(event: Mapping[str, Any]) -> str:
    """Write an event as docker does: `2026-01-01T00:00:00.000000000Z container start 4f… (image=alpine, name=web)`.

    No label makes lines of its own, or is obeyed by a terminal.
    """
    attributes = event["Actor"]["Attributes"]
    pairs = ", ".join(f"{key}={attributes[key]}" for key in sorted(attributes))
    words = f"{_local_time(event['timeNano'])} {event['Type']} {event['Action']} {event['Actor']['ID']}"
    line = f"{words} ({pairs})" if pairs else words
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)


def _local_time(moment_ns: int) -> str:
    seconds, rest = divmod(moment_ns, 1_000_000_000)
    local = time.localtime(seconds)
    zone = time.strftime("%z", local)
    zone = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{rest:09d}{zone}"
