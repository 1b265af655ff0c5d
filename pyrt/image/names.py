"""Names of images: what a person writes, as frozen values, and the media that they stand for.

`docker-archive:FILE[:REFERENCE]`, `oci-archive:FILE[:TAG]` and `oci:DIR[:TAG]` end their path at the first colon, as
skopeo's do; `@sha256:…` in the place of the tag chooses by digest. `rootfs:DIR` takes all that follows. Everything else
is a name of Docker's, or an image's id.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

from pyrt.errors import InvalidReference
from pyrt.oci.digest import Digest
from pyrt.oci.reference import Reference

__all__ = ["Kind", "StoredName", "Transport", "parse_name"]

Kind = Literal["host", "rootfs", "oci", "oci-archive", "docker-archive"]
_FORMS = {"oci": "oci:DIR[:TAG]", "oci-archive": "oci-archive:FILE[:TAG]"} | {
    "docker-archive": "docker-archive:FILE[:REFERENCE]",
    "rootfs": "rootfs:DIR",
}
_PATH = re.compile(r"(?P<path>[^:@]*(?:@(?!sha\d+:)[^:@]*)*)(?:@(?P<digest>.*)|:(?P<rest>.*))?", re.DOTALL)
_ID = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")


@dataclass(frozen=True, slots=True)
class StoredName:
    """A name of Docker's (`reference`), digits that an id may begin with (`id`), or what may be either of both."""

    text: str
    reference: Reference | None
    id: str = ""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Transport:
    """A medium beside registries and the store.

    `path` is a directory or file (of `host:` it is "" or "full"); `rest` chooses one image of several: a tag or
    reference, `@digest`, or nothing.
    """

    kind: Kind
    path: str = ""
    rest: str = ""

    def __str__(self) -> str:
        between = ":" if self.rest and not self.rest.startswith("@") else ""
        return f"{self.kind}:{self.path}{between}{self.rest}"


def parse_name(text: str) -> StoredName | Transport:
    """Read the name of an image. Raises InvalidReference and InvalidDigest."""
    kind, colon, rest = text.partition(":")
    if colon and kind == "host":
        if rest not in ("", "full"):
            raise InvalidReference(f"{text!r}: write host: or host:full", argument="image")
        return Transport("host", rest)
    if colon and kind in _FORMS:
        return _transport(text, cast(Kind, kind), rest)
    match = _ID.fullmatch(text)
    digits = match[1] if match else ""
    if digits and (text.startswith("sha256:") or len(digits) == 64):
        return StoredName(text, None, digits)
    return StoredName(text, Reference.parse(text), digits)


def _transport(text: str, kind: Kind, rest: str) -> Transport:
    path, chosen = rest, ""
    if kind != "rootfs":
        match = _PATH.fullmatch(rest)
        assert match is not None  # it matches everything
        path, digest, chosen = match["path"], match["digest"], match["rest"]
        if digest is not None:
            chosen = f"@{Digest.parse(digest)}"
        elif chosen == "":
            raise InvalidReference(f"{text!r}: after the colon there must be a name", argument="image")
        elif chosen and kind == "docker-archive":
            Reference.parse(chosen)
    if not path or "\0" in path:
        raise InvalidReference(f"{text!r} names no file: write {_FORMS[kind]}", argument="image")
    return Transport(kind, path, chosen or "")
