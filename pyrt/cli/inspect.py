"""`pyrt inspect`: all that is known of a container or an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from pyrt.cli.complete import container_names, image_names, names_of_both
from pyrt.cli.documents import Labels, lines
from pyrt.cli.format import complain
from pyrt.cli.shared import opened, verb
from pyrt.cli.template_values import Null
from pyrt.errors import InvalidReference, NotFound, PyrtError

if TYPE_CHECKING:
    from pyrt.engine import Engine

__all__ = ["command", "of_containers", "of_images"]

_MAP, _LIST = Null("map[]"), Null("[]")
_ABSENT: Mapping[str, Any] = {
    **dict.fromkeys(("Hostname", "Domainname", "User", "Image", "WorkingDir", "StopSignal"), ""),
    **dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"), False),
    **dict.fromkeys(("Cmd", "Entrypoint", "Env", "OnBuild", "Shell"), _LIST),
    **dict.fromkeys(("ExposedPorts", "Labels", "Volumes"), _MAP),
    "Healthcheck": Null("<nil>"),
}


_FORM = click.option("-f", "--format", "form", metavar="FORMAT", help="`json`, or a Go template such as `{{.Id}}`.")


@verb("inspect")
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=names_of_both)
@click.option("--type", "kind", type=click.Choice(["container", "image"]), help="What the names are of.")
@_FORM
@click.pass_obj
def command(root: str | None, names: tuple[str, ...], kind: str | None, form: str | None) -> int:
    """Show what containers are, or images, as JSON or by a template."""
    return show(root, names, (kind,) if kind else ("container", "image"), form)


@verb("inspect")
@click.argument("names", metavar="CONTAINER...", nargs=-1, required=True, shell_complete=container_names)
@_FORM
@click.pass_obj
def of_containers(root: str | None, names: tuple[str, ...], form: str | None) -> int:
    """Show what containers are, as JSON or by a template."""
    return show(root, names, ("container",), form)


@verb("inspect")
@click.argument("names", metavar="IMAGE...", nargs=-1, required=True, shell_complete=image_names)
@_FORM
@click.pass_obj
def of_images(root: str | None, names: tuple[str, ...], form: str | None) -> int:
    """Show what images are, as JSON or by a template."""
    return show(root, names, ("image",), form)


def show(root: str | None, names: Sequence[str], kinds: Sequence[str], form: str | None) -> int:
    """Print what is known of each name, which is of the first of `kinds` that has it, and complain of the others."""
    documents, missing = [], []
    with opened(root) as engine:
        for name in names:
            found, error = _find(engine, name, kinds)
            documents += [found] if found is not None else []
            missing += [str(error)] if found is None else []
    for line in lines(documents, form, _typed):
        click.echo(line)
    for each in missing:
        complain(each)
    return int(bool(missing))


def _find(engine: Engine, name: str, kinds: Sequence[str]) -> tuple[dict[str, Any] | None, PyrtError | None]:
    """Give a document, or why there is none; of several kinds no name is one of an image more than of a container."""
    why: PyrtError | None = None
    for kind in kinds:
        try:
            return (engine.containers if kind == "container" else engine.images).get(name).attrs, None
        except NotFound as error:
            why = error
        except InvalidReference as error:
            why = why or error
    return None, NotFound(f"no such object: {name}") if len(kinds) > 1 else why


class _Config(dict[str, Any]):
    """The config of an image, where fields that are absent are empty: most images name only what they set."""

    def __missing__(self, key: str) -> Any:
        return _ABSENT[key]


def _typed(document: dict[str, Any]) -> dict[str, Any]:
    """Give a document whose config has the types that docker's templates see."""
    config = {key: _ABSENT.get(key) if value is None else value for key, value in document["Config"].items()}
    for key, value in config.items():
        if isinstance(value, dict):
            config[key] = Labels(value)
    return document | {"Config": _Config(config)}
