"""What a shell completes: the names of containers and images."""

from __future__ import annotations

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

from pyrt.errors import PyrtError

__all__ = ["container_names", "image_names", "names_of_both"]


def container_names(context: click.Context, parameter: click.Parameter | None, incomplete: str) -> list[CompletionItem]:
    """Give the names of containers that begin with what is typed."""
    return _beginning(context, incomplete, _containers)


def image_names(context: click.Context, parameter: click.Parameter | None, incomplete: str) -> list[CompletionItem]:
    """Give the names of images that begin with what is typed."""
    return _beginning(context, incomplete, _images)


def names_of_both(context: click.Context, parameter: click.Parameter | None, incomplete: str) -> list[CompletionItem]:
    """Give the names of containers and images that begin with what is typed."""
    return _beginning(context, incomplete, lambda root: _containers(root) + _images(root))


def _beginning(
    context: click.Context, incomplete: str, names: Callable[[str | None], list[str]]
) -> list[CompletionItem]:
    try:
        found = names(context.find_root().params.get("root"))
    except (PyrtError, OSError):  # a shell that completes a word has no place for complaints
        return []
    return [CompletionItem(name) for name in sorted(found) if name.startswith(incomplete)]


def _containers(root: str | None) -> list[str]:
    from pyrt.cli.shared import opened

    with opened(root) as engine:
        return [each.name for each in engine.containers.list(all=True)]


def _images(root: str | None) -> list[str]:
    from pyrt.cli.shared import opened
    from pyrt.oci.reference import Reference

    with opened(root) as engine:
        references = [Reference.parse(tag) for image in engine.images.list() for tag in image.tags]
        return [f"{each.familiar_repository}:{each.tag}" for each in references]
