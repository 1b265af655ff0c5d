"""The fixtures of tests of the registry client."""

from __future__ import annotations

from tests.registries import client, scripted

__all__ = ["client", "scripted"]
