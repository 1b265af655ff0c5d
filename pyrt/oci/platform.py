"""Platforms: what an image runs on, and which of several fits best (image-spec image-index.md).

Names are Go's ($GOOS, $GOARCH); what uname(2) and Docker's users call them is understood too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyrt.errors import InvalidArgument
from pyrt.oci.fields import optional, string, strings

__all__ = ["Platform", "rank"]

_ALIASES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", ""),
    "arm64v8": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armv8l": ("arm", "v8"),
    "mips64el": ("mips64le", ""),
    "loongarch64": ("loong64", ""),
}
_DEFAULTS = {("arm64", "v8"): "", ("amd64", "v1"): "", ("arm", ""): "v7"}
_WORD = re.compile(r"[A-Za-z0-9_.-]+")
_LEVELS = {"arm": ("v8", "v7", "v6", "v5"), "arm64": ("v9", ""), "amd64": ("v4", "v3", "v2", "")}


@dataclass(frozen=True, slots=True)
class Platform:
    """An operating system and a processor; the variant is "" where it is the common one (arm64's v8, amd64's v1)."""

    os: str = "linux"
    architecture: str = "amd64"
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read `os/architecture[/variant]`, or an architecture alone. Raises InvalidArgument."""
        parts = text.split("/")
        if not all(_WORD.fullmatch(part) for part in parts) or len(parts) > 3:
            raise InvalidArgument(f"{text!r} is no platform: write os/architecture[/variant]", argument="platform")
        if len(parts) == 1:
            return cls.normal("linux", parts[0]) if parts[0] != "linux" else cls.host()
        return cls.normal(*parts)

    @classmethod
    def normal(cls, os: str, architecture: str, variant: str = "") -> Platform:
        """Give a platform under its usual names."""
        architecture, implied = _ALIASES.get(architecture.lower(), (architecture.lower(), ""))
        variant = variant.lower() or implied
        return cls(os.lower(), architecture, _DEFAULTS.get((architecture, variant), variant))

    @classmethod
    def host(cls) -> Platform:
        """Give the platform of this machine; the plain variant, which all of its kind can run."""
        return cls.normal("linux", os.uname().machine)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Platform:
        """Read the platform of an index's entry. Raises InvalidSpec."""
        normal = cls.normal(
            string(document, "os"), string(document, "architecture"), optional(document, "variant", str, "")
        )
        version, features = optional(document, "os.version", str, ""), strings(document, "os.features")
        return cls(normal.os, normal.architecture, normal.variant, version, features)

    def to_json(self) -> dict[str, Any]:
        """Give the object that an index's entry has."""
        document: dict[str, Any] = {"architecture": self.architecture, "os": self.os}
        given = {"variant": self.variant, "os.version": self.os_version, "os.features": list(self.os_features)}
        return document | {name: value for name, value in given.items() if value}

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


def rank(wanted: Platform, candidates: Sequence[Platform | None]) -> list[int]:
    """Give the indexes of the candidates that run on `wanted`, the best first.

    A processor also runs what is made for a lower variant of its architecture, and arm64 runs what is made for arm. An
    entry that says nothing of its platform comes last.
    """
    order = _runnable(wanted)
    fits = []
    for index, candidate in enumerate(candidates):
        if candidate is None:
            fits.append((len(order), index))
        elif candidate.os == wanted.os and (pair := (candidate.architecture, candidate.variant)) in order:
            fits.append((order.index(pair), index))
    return [index for _, index in sorted(fits)]


def _runnable(wanted: Platform) -> list[tuple[str, str]]:
    levels = _LEVELS.get(wanted.architecture, ())
    lower = levels[levels.index(wanted.variant) :] if wanted.variant in levels else (wanted.variant,)
    order = [(wanted.architecture, variant) for variant in lower]
    if wanted.architecture == "arm64":
        order += [("arm", variant) for variant in _LEVELS["arm"]]
    return order
