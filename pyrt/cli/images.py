"""`pyrt images`: the images of the store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click

from pyrt.cli.complete import image_names
from pyrt.cli.shared import filters, format_option, opened, read_filters, verb
from pyrt.cli.table import is_table, print_rows
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
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "Containers": "CONTAINERS",
}


@verb("images")
@click.argument("name", metavar="[REPOSITORY[:TAG]]", required=False, shell_complete=image_names)
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
    """List images, the newest first.

    Filters are before=IMAGE, since=IMAGE, dangling=true|false, label=KEY[=VALUE], reference=PATTERN and until=TIME.
    """
    wanted = read_filters(filters)
    with opened(root) as engine:
        found = engine.images.list(name, show_all, wanted)
        found.sort(key=lambda image: -image.created_seconds)
        patterns = [[name]] if name else []
        patterns += [wanted["reference"]] if "reference" in wanted else []
        has_digest = digests or ".Digest" in (form or "")
        rows = [row for image in found for row in _rows(image, no_trunc, has_digest, patterns)]
    columns = ["Repository", "Tag", *(["Digest"] if digests else []), "ID", "CreatedSince", "Size"]
    print_rows(rows, columns, HEADINGS, "{{.ID}}" if quiet and is_table(form) else form)


def _rows(image: Image, no_trunc: bool, has_digest: bool, patterns: list[list[str]]) -> Iterator[dict[str, Any]]:
    """Give a row for each tag of an image that is of all patterns, with a digest for each digest; for a repository that
    has but digests one; for what has no name at all one too.
    """

    def chosen(texts: list[str]) -> list[Reference]:
        references = map(Reference.parse, sorted(texts))
        return [each for each in references if all(any(map(each.matches, those)) for those in patterns)]

    created = image.created_seconds
    shared = {
        "ID": image.id if no_trunc else image.id.partition(":")[2][:12],
        "CreatedSince": ago(created, time.time()),
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(created)),
        "Size": size(image.size_bytes),
        **dict.fromkeys(("SharedSize", "UniqueSize", "Containers"), "N/A"),
    }
    tags, sources = chosen(image.tags), chosen(image.digests)
    tagged = {each.name for each in map(Reference.parse, image.tags)}
    for each in tags + [each for each in sources if each.name not in tagged]:
        digests = [str(source.digest) for source in sources if source.name == each.name and has_digest]
        for digest in [str(each.digest)] if each.digest and has_digest else digests or [NONE]:
            yield {"Repository": each.familiar_repository, "Tag": each.tag or NONE, "Digest": digest, **shared}
    if not image.tags and not image.digests:
        yield {"Repository": NONE, "Tag": NONE, "Digest": NONE, **shared}
