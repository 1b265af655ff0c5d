"""The root of a container: an overlay over what is not its own, mounted where nobody sees it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

from pyrt.cli.checks.check import Check, limited, missing, ok
from pyrt.errors import PyrtError
from pyrt.image import open_image
from pyrt.runtime.rootless import UserNamespaces, own_mappings
from pyrt.snapshot import OverlayProbe

__all__ = ["examine"]


def examine() -> Iterator[Check]:
    """Give the overlay of `host:`, as root and in a user namespace, and what its upper layer cannot keep."""
    view, probe = open_image("host:"), OverlayProbe()
    is_root = os.geteuid() == 0
    if is_root:
        yield _overlay("overlay", probe, view.lowers(user_namespace=False), None, missing)
    with UserNamespaces() as made:
        try:
            userns = made.get(own_mappings())
        except PyrtError as error:
            yield (limited if is_root else missing)("overlay in a user namespace", str(error))
            return
        lowers = view.lowers(user_namespace=True)
        yield _overlay("overlay in a user namespace", probe, lowers, userns, limited if is_root else missing)
        yield _attributes(probe, lowers, userns)


def _overlay(
    title: str, probe: OverlayProbe, lowers: Sequence[str], userns: int | None, without: Callable[..., Check]
) -> Check:
    for lower in lowers:
        refusal = probe.refusal(lower, userns)
        if refusal is not None:
            return without(title, f"{lower}: {refusal}", "host: needs it; rootfs:DIR is copied where there is none")
    return ok(title, f"tried over {lowers[0]}" + f" and {len(lowers) - 1} more" * (len(lowers) > 1))


def _attributes(probe: OverlayProbe, lowers: Sequence[str], userns: int) -> Check:
    title = "attributes on a tmpfs"
    for lower in lowers:
        shortcoming = probe.shortcoming(lower, userns)
        if shortcoming is not None:
            return limited(title, shortcoming, "Linux 6.6 with CONFIG_TMPFS_XATTR")
    return ok(title)
