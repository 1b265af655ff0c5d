"""The config blob of an image: how to run it, what its layers are, and how they came to be (image-spec config.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyrt.oci.config import ImageConfig
from pyrt.oci.digest import Digest
from pyrt.oci.fields import objects, optional, read_object, string_map, strings
from pyrt.oci.platform import Platform

__all__ = ["History", "ImageDocument", "chain_ids", "config_from_json", "config_to_json"]


@dataclass(frozen=True, slots=True)
class History:
    """How one layer came to be; an empty one changed the configuration only."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    is_empty_layer: bool = False

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> History:
        """Read one entry. Raises InvalidSpec."""
        return cls(
            optional(document, "created", str, ""),
            optional(document, "created_by", str, ""),
            optional(document, "author", str, ""),
            optional(document, "comment", str, ""),
            optional(document, "empty_layer", bool, False),
        )

    def to_json(self) -> dict[str, Any]:
        """Give the entry's object."""
        given = {
            "created": self.created,
            "created_by": self.created_by,
            "author": self.author,
            "comment": self.comment,
            "empty_layer": self.is_empty_layer,
        }
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True, slots=True)
class ImageDocument:
    """A parsed config; `raw` are its bytes, whose digest is the image's id, `document` is all of it."""

    raw: bytes = field(repr=False)
    document: Mapping[str, Any] = field(repr=False, hash=False, compare=False)
    digest: Digest
    platform: Platform
    config: ImageConfig
    diff_ids: tuple[Digest, ...]
    history: tuple[History, ...] = ()
    created: str = ""
    author: str = ""

    @classmethod
    def parse(cls, raw: bytes) -> ImageDocument:
        """Read a config. Raises InvalidSpec and InvalidDigest."""
        document = read_object(raw, "the image's config")
        rootfs = optional(document, "rootfs", dict, {})
        return cls(
            raw,
            document,
            Digest.of(raw),
            _platform(document),
            config_from_json(optional(document, "config", dict, {})),
            tuple(Digest.parse(each) for each in strings(rootfs, "diff_ids")),
            tuple(History.from_json(each) for each in objects(document, "history")),
            optional(document, "created", str, ""),
            optional(document, "author", str, ""),
        )

    @property
    def chain_ids(self) -> tuple[Digest, ...]:
        """The names of what the layers make when they are applied one after the other."""
        return chain_ids(self.diff_ids)


def chain_ids(diff_ids: Iterable[Digest]) -> tuple[Digest, ...]:
    """Give the ChainID of each layer and all below it, the base first (image-spec config.md, "Layer ChainID")."""
    chain: list[Digest] = []
    for diff_id in diff_ids:
        both = f"{chain[-1]} {diff_id}".encode() if chain else b""
        chain.append(Digest("sha256", hashlib.sha256(both).hexdigest()) if both else diff_id)
    return tuple(chain)


def config_to_json(config: ImageConfig, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Give the `config` object for a config; what `document` has besides is kept."""
    fields: dict[str, Any] = {
        "Env": list(config.env),
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.cmd),
        "User": config.user,
        "WorkingDir": config.working_dir,
        "StopSignal": config.stop_signal,
        "Volumes": {path: {} for path in config.volumes},
        "ExposedPorts": {port: {} for port in config.exposed_ports},
        "Labels": dict(config.labels),
    }
    kept = {name: value for name, value in (document or {}).items() if name not in fields}
    return kept | {name: value for name, value in fields.items() if value}


def _platform(document: Mapping[str, Any]) -> Platform:
    names = ("os", "architecture", "variant")
    system, architecture, variant = (optional(document, name, str, "") for name in names)
    return Platform.normal(system or "linux", architecture or "amd64", variant)


def config_from_json(document: Mapping[str, Any]) -> ImageConfig:
    """Read a `config` object. Raises InvalidSpec."""
    return ImageConfig(
        env=strings(document, "Env"),
        entrypoint=strings(document, "Entrypoint"),
        cmd=strings(document, "Cmd"),
        user=optional(document, "User", str, ""),
        working_dir=optional(document, "WorkingDir", str, ""),
        stop_signal=optional(document, "StopSignal", str, ""),
        volumes=tuple(optional(document, "Volumes", dict, {})),
        exposed_ports=tuple(optional(document, "ExposedPorts", dict, {})),
        labels=string_map(document, "Labels"),
    )
