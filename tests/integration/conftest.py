"""The fixtures of tests that run containers."""

from __future__ import annotations

from tests.containers import box, engine, image, public_directory, public_rootfs, root_shell, scratch, shell
from tests.registries import scripted

__all__ = [
    "box",
    "engine",
    "image",
    "public_directory",
    "public_rootfs",
    "root_shell",
    "scratch",
    "scripted",
    "shell",
]
