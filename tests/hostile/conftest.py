"""The fixtures of tests that run containers."""

from __future__ import annotations

from tests.containers import box, engine, image, public_directory, public_rootfs, root_shell, scratch, shell
from tests.registries import client, scripted

__all__ = [
    "box",
    "client",
    "engine",
    "image",
    "public_directory",
    "public_rootfs",
    "root_shell",
    "scratch",
    "scripted",
    "shell",
]
