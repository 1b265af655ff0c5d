"""`pyrt volume inspect`: all that is known of volumes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from pyrt.cli.format import complain
from pyrt.cli.shared import opened, verb
from pyrt.cli.template_values import Null
from pyrt.errors import NotFound

__all__ = ["command"]


@verb("inspect")
@click.argument("names", metavar="VOLUME...", nargs=-1, required=True)
@click.option("-f", "--format", "form", metavar="FORMAT", help="`json`, or a Go template such as `{{.Mountpoint}}`.")
@click.option("-s", "--size", is_flag=True, help="Also how large they are, and how many containers use them.")
@click.pass_obj
def command(root: str | None, names: tuple[str, ...], form: str | None, size: bool) -> int:
    """Show what volumes are, as JSON or by a template."""
    documents, missing = [], []
    with opened(root) as engine:
        for name in names:
            try:
                volume = engine.volumes.get(name)
            except NotFound as error:
                missing.append(str(error))
            else:
                documents.append(volume.attrs | ({"UsageData": volume.usage()} if size else {}))
    for line in _lines(documents, form):
        click.echo(line)
    for each in missing:
        complain(each)
    return int(bool(missing))


def _lines(documents: Sequence[dict[str, Any]], form: str | None) -> list[str]:
    """Give a JSON list, or what a template makes of each document."""
    if form in (None, "", "json"):
        shape: dict[str, Any] = {"separators": (",", ":")} if form else {"indent": 4}
        return [json.dumps(documents, ensure_ascii=False, **shape)]
    from pyrt.cli.template import compile_template

    assert form is not None
    template = compile_template(form)
    return [template.render(_typed(document)) for document in documents]


class _Texts(dict[str, str]):
    """A map whose keys are no fields: one that is absent is no mistake."""

    def __missing__(self, key: str) -> None:
        return None


def _typed(document: dict[str, Any]) -> dict[str, Any]:
    """Give a document with the types that docker's templates see."""
    empty = {name: Null("map[]") for name in ("Labels", "Options", "Status")} | {"UsageData": Null("<nil>")}
    maps = {name: _Texts(value) for name, value in document.items() if isinstance(value, dict)}
    return empty | {name: value for name, value in document.items() if value is not None} | maps
