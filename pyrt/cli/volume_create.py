"""`pyrt volume create`: make a volume."""

from __future__ import annotations

import click

from pyrt.cli.shared import opened, verb

__all__ = ["command"]


@verb("create")
@click.argument("name", metavar="[VOLUME]", required=False)
@click.option("-d", "--driver", default="local", metavar="NAME", help="What says where its files are (local).")
@click.option("--label", "labels", multiple=True, metavar="KEY[=VALUE]", help="Set a label.")
@click.option("-o", "--opt", "options", multiple=True, metavar="KEY=VALUE", help="An option of the driver.")
@click.pass_obj
def command(root: str | None, name: str | None, driver: str, labels: tuple[str, ...], options: tuple[str, ...]) -> None:
    """Make a volume, unless there is one of this name, and print its name.

    The options of the driver local are type, device and o: `-o type=tmpfs -o device=tmpfs -o o=size=100m`.
    """
    given, marks = (dict(each.partition("=")[::2] for each in pairs) for pairs in (options, labels))
    with opened(root) as engine:
        click.echo(engine.volumes.create(name, driver, given, marks).name)
