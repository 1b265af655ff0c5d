"""Image names as Docker reads them: `[registry/]repository[:tag][@digest]`.

A first component that could be a host (it has a dot, a colon or capitals, or is `localhost`) is the registry, else the
registry is docker.io; there a repository of one component is below library/. Without tag and digest the tag is latest.
The grammar is distribution/reference's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from pyrt.errors import InvalidReference
from pyrt.oci.digest import Digest

__all__ = ["DEFAULT_REGISTRY", "DEFAULT_TAG", "Reference"]

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"
_OFFICIAL = "library/"
_COMPONENT = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = re.compile(rf"(?:{_COMPONENT}(?:\.{_COMPONENT})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_ID = re.compile(r"[0-9a-f]{64}")
_MAX_NAME = 255


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """A name in full: it has a tag, a digest, or both, and then the digest says what is meant."""

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a name and fill in Docker's defaults. Raises InvalidReference, or InvalidDigest for what follows `@`."""
        name, at, digest_text = text.partition("@")
        digest = Digest.parse(digest_text) if at else None
        head, colon, tag = name.rpartition(":")
        if not colon or "/" in tag:
            head, tag = name, ""
        elif not _TAG.fullmatch(tag):
            raise _wrong(text, f"{tag!r} is no tag: 1 to 128 letters, digits, `_`, `.`, `-`, the first no `.` or `-`")
        if _ID.fullmatch(head):
            raise _wrong(text, "64 hexadecimal digits are an image's id, not its name")
        registry, repository = _split(head)
        if not _HOST.fullmatch(registry):
            raise _wrong(text, f"{registry!r} is no host of a registry")
        if not _REPOSITORY.fullmatch(repository):
            hint = "it must be lower case" if repository != repository.lower() else "see `docker help tag` for the form"
            raise _wrong(text, f"{repository!r} is no repository: {hint}")
        if len(registry) + 1 + len(repository) > _MAX_NAME:
            raise _wrong(text, f"a name has at most {_MAX_NAME} characters")
        return cls(registry, repository, tag or (None if digest else DEFAULT_TAG), digest)

    @property
    def familiar(self) -> str:
        """The name as people write it: without docker.io, library/ and nothing else."""
        return self.familiar_repository + self._suffix

    @property
    def familiar_repository(self) -> str:
        """The familiar name without tag and digest: what `docker images` lists as repository."""
        if self.registry != DEFAULT_REGISTRY:
            return self.name
        short = self.repository.removeprefix(_OFFICIAL)
        return self.repository if "/" in short else short

    @property
    def name(self) -> str:
        """The registry and the repository."""
        return f"{self.registry}/{self.repository}"

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def with_tag(self, tag: str) -> Reference:
        """Give the same repository with another tag and no digest. Raises InvalidReference."""
        if not _TAG.fullmatch(tag):
            raise _wrong(tag, "this is no tag")
        return replace(self, tag=tag, digest=None)

    def with_digest(self, digest: Digest) -> Reference:
        """Give the same repository and no tag, at a digest."""
        return replace(self, tag=None, digest=digest)

    def matches(self, pattern: str) -> bool:
        """Say whether the name, with or without its tag, is of a pattern, in which `*` stands for no slash."""
        parts = pattern.split("/")
        names = [name.split("/") for name in (self.familiar, self.familiar_repository, str(self), self.name)]
        return any(len(name) == len(parts) and all(map(fnmatchcase, name, parts)) for name in names)

    def __str__(self) -> str:
        return self.name + self._suffix


def _split(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    is_host = bool(slash) and (any(c in first for c in ".:") or first == "localhost" or first != first.lower())
    registry, repository = (first, rest) if is_host else (DEFAULT_REGISTRY, name)
    if registry == "index.docker.io":
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and repository and "/" not in repository:
        repository = _OFFICIAL + repository
    return registry, repository


def _wrong(text: str, why: str) -> InvalidReference:
    return InvalidReference(f"{text!r} is no image name: {why}", argument="image")
