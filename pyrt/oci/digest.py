"""Digests: content named by its hash (image-spec descriptor.md, "Digests")."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyrt.errors import InvalidDigest

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["Digest"]

_SIZES = {"sha256": 64, "sha512": 128}  # the algorithms that the specification registers, and their digits
_FORM = re.compile(r"([a-z0-9]+(?:[.+_-][a-z0-9]+)*):([a-zA-Z0-9=_-]+)")
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """`algorithm:hex`, of an algorithm that can be verified here."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read `sha256:…` or `sha512:…`. Raises InvalidDigest."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise InvalidDigest(f"{text!r} is no digest: write algorithm:hex")
        algorithm, value = match.groups()
        if algorithm not in _SIZES:
            raise InvalidDigest(f"{text!r}: the algorithm is none of {', '.join(_SIZES)}")
        if len(value) != _SIZES[algorithm] or not _HEX.fullmatch(value):
            raise InvalidDigest(f"{text!r}: {algorithm} has {_SIZES[algorithm]} lower-case hexadecimal digits")
        return cls(algorithm, value)

    @classmethod
    def of(cls, content: bytes) -> Digest:
        """Give the sha256 digest of some bytes."""
        return cls("sha256", hashlib.sha256(content).hexdigest())

    @property
    def short(self) -> str:
        """The first twelve digits, as Docker shows an id."""
        return self.hex[:12]

    def hasher(self) -> _Hash:
        """Give a new hash object of this digest's algorithm."""
        return hashlib.new(self.algorithm)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"
