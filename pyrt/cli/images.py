"""`pyrt images`: the images of the store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click

from pyrt.cli.shared import filters, format_option, opened, read_filters
from pyrt.cli.table import print_rows
from pyrt.cli.units import ago, size
from pyrt.image import Image
from pyrt.oci.reference import Reference

__all__ = ["command"]

NONE = "<none>"
HEADINGS = {
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
}


@click.command("images")
@click.argument("name", metavar="[REPOSITORY[:TAG]]", required=False)
@click.option("-a", "--all", "show_all", is_flag=True, help="Docker's: here there are no others.")
@click.option("--digests", is_flag=True, help="Show the digests of registries.")
@click.option("--no-trunc", is_flag=True, help="Show ids in full.")
@click.option("-q", "--quiet", is_flag=True, help="Print ids alone.")
@filters
@format_option
@click.pass_obj
def command(
    root: str | None,
    name: str | None,
    show_all: bool,
    digests: bool,
    no_trunc: bool,
    quiet: bool,
    filters: tuple[str, ...],
    form: str | None,
) -> None:
    """List images, the newest first."""
    with opened(root) as engine:
        found = engine.images.list(name, show_all, read_filters(filters))
        rows = [row for image in found for row in _rows(image, no_trunc, digests)]
    if quiet and form is None:
        for id in dict.fromkeys(row["ID"] for row in rows):
            click.echo(id)
        return
    columns = ["Repository", "Tag", *(["Digest"] if digests else []), "ID", "CreatedSince", "Size"]
    print_rows(rows, columns, HEADINGS, form)


def _rows(image: Image, no_trunc: bool, digests: bool) -> Iterator[dict[str, Any]]:
    """Give a row for each tag; for what has none, one for each repository that it came from, or for nothing."""
    names = [Reference.parse(each) for each in image.tags]
    sources = [Reference.parse(each) for each in image.digests]
    created = image.created_seconds
    shared = {
        "ID": image.id if no_trunc else image.id.partition(":")[2][:12],
        "CreatedSince": ago(created, time.time()),
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime(created)),
        "Size": size(image.size_bytes),
    }
    for each in names or sources:
        found = [str(source.digest) for source in sources if source.name == each.name] or [NONE]
        for digest in found if digests else found[:1]:
            yield {"Repository": each.familiar_repository, "Tag": each.tag or NONE, "Digest": digest, **shared}
    if not names and not sources:
        yield {"Repository": NONE, "Tag": NONE, "Digest": NONE, **shared}
