"""Chains of layers in overlay form for the tests, and an image made of one."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from pyrt.image import DEFAULT_PATH
from pyrt.oci.config import ImageConfig
from pyrt.runtime.bundle import Rootfs
from pyrt.snapshot import Snapshotter

__all__ = ["ChainView", "hide", "make_chain", "opaque"]


@dataclass(frozen=True, slots=True)
class ChainView:
    """An image of these layers, the topmost first."""

    chain: tuple[str, ...]
    name: str = "chain:"
    config: ImageConfig = field(default=ImageConfig(env=(f"PATH={DEFAULT_PATH}",), working_dir="/"))

    @property
    def is_host(self) -> bool:
        return False

    def lowers(self, *, user_namespace: bool) -> tuple[str, ...]:
        return self.chain

    def rootfs(self, snapshotter: Snapshotter, key: str) -> Rootfs:
        return Rootfs((snapshotter.prepare(key, self.chain),))

    def open(self, *name: object, **options: object) -> ChainView:
        """Stand for any image name, where an engine opens one."""
        return self

    def close(self) -> None:
        """Nothing is held."""


def hide(path: Path) -> None:
    """Make a whiteout, which any user may."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))


def opaque(directory: Path) -> None:
    """Make a directory that hides what is below, whoever mounts it."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("user.overlay.opaque", *(["trusted.overlay.opaque"] if os.geteuid() == 0 else [])):
        os.setxattr(directory, name, b"y")


def make_chain(top: Path, base: Path, count: int) -> tuple[str, ...]:
    """Make `count` layers on `base`: layer n adds /added/n and hides /added/n-1, but every tenth stays.

    Give them with `base`, the topmost first.
    """
    chain = [str(base)]
    for number in range(count):
        layer = top / str(number) / "fs"
        (layer / "added").mkdir(parents=True)
        (layer / "added" / str(number)).write_text(f"{number}\n")
        if number and (number - 1) % 10:
            hide(layer / "added" / str(number - 1))
        chain.append(str(layer))
    return tuple(reversed(chain))
