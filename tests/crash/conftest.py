"""The fixtures of the crash run."""

from __future__ import annotations

from tests.containers import public_directory, public_rootfs

__all__ = ["public_directory", "public_rootfs"]
