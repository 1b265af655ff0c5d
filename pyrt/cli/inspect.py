"""`pyrt inspect`: all that is known of an image."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from pyrt.cli.format import complain
from pyrt.cli.shared import opened, verb
from pyrt.cli.template_values import Null
from pyrt.errors import NotFound

__all__ = ["command"]

_MAP, _LIST = Null("map[]"), Null("[]")
_ABSENT: Mapping[str, Any] = {
    **dict.fromkeys(("Hostname", "Domainname", "User", "Image", "WorkingDir", "StopSignal"), ""),
    **dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"), False),
    **dict.fromkeys(("Cmd", "Entrypoint", "Env", "OnBuild", "Shell"), _LIST),
    **dict.fromkeys(("ExposedPorts", "Labels", "Volumes"), _MAP),
    "Healthcheck": Null("<nil>"),
}


@verb("inspect")
@click.argument("names", metavar="IMAGE...", nargs=-1, required=True)
@click.option("--type", "kind", type=click.Choice(["image"]), help="What the names are of.")
@click.option("-f", "--format", "form", metavar="FORMAT", help="`json`, or a Go template such as `{{.Id}}`.")
@click.pass_obj
def command(root: str | None, names: tuple[str, ...], kind: str | None, form: str | None) -> int:
    """Show what images are, as JSON or by a template."""
    documents, missing = [], []
    with opened(root) as engine:
        for name in names:
            try:
                documents.append(engine.images.get(name).attrs)
            except NotFound as error:
                missing.append(str(error))
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


class _Config(dict[str, Any]):
    """The config of an image, where fields that are absent are empty: most images name only what they set."""

    def __missing__(self, key: str) -> Any:
        return _ABSENT[key]


class _Labels(dict[str, Any]):
    """A map whose keys are no fields: one that is absent is no mistake."""

    def __missing__(self, key: str) -> None:
        return None


def _typed(document: dict[str, Any]) -> dict[str, Any]:
    """Give a document whose config has the types that docker's templates see."""
    config = {key: _ABSENT.get(key) if value is None else value for key, value in document["Config"].items()}
    for key, value in config.items():
        if isinstance(value, dict):
            config[key] = _Labels(value)
    return document | {"Config": _Config(config)}
