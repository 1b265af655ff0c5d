"""The part of an image's configuration that says how to run it (image-spec config.md, "config" object)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ImageConfig"]


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image asks for; `env` entries are `NAME=value`, `stop_signal` is a name or a number as text."""

    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""
    volumes: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
