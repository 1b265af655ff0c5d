"""What is recorded of a container that is kept."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pyrt.container.command import combine
from pyrt.container.env import parse_env
from pyrt.container.mount import Mount
from pyrt.container.options import RunOptions
from pyrt.container.spec import labels
from pyrt.oci.config import ImageConfig
from pyrt.oci.digest import Digest
from pyrt.oci.image import config_from_json, config_to_json

__all__ = ["VERSION", "KeptContainer", "from_version_1", "kept_config", "new_container"]

VERSION = 2


def from_version_1(record: Any) -> Any:
    """Give the document of version 2."""
    return {
        **record,
        "base": None,
        "words": None,
        "options": {},
        "has_run": True,
        "error": "",
        "mounts": [],
        "anonymous": [],
    }


@dataclass(frozen=True, slots=True)
class KeptContainer:
    """One container; `layers` are the ChainIDs of its image, as text.

    `settings` is its image's configuration with what its options changed, `base` the image's own, both in JSON.
    `words` and `options` are what it was asked for with. `has_run` says that another process than a monitor has run
    it: then `exit_code` tells how that ended, None while it runs, and where its owner died before it could note the
    end. `error` is why it could not be started. `mounts` are its binds and volumes, each with its name, `anonymous`
    the volumes that were made for it.
    """

    id: str
    name: str
    image: str
    image_id: Digest | None
    layers: tuple[str, ...]
    lowers: tuple[str, ...]
    settings: Mapping[str, Any]
    args: tuple[str, ...]
    created_ns: int
    in_user_namespace: bool = False
    exit_code: int | None = None
    base: Mapping[str, Any] | None = None
    words: tuple[str, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    has_run: bool = False
    error: str = ""
    mounts: tuple[Mount, ...] = ()
    anonymous: tuple[str, ...] = ()

    @property
    def volumes(self) -> tuple[str, ...]:
        """The names of its volumes."""
        return tuple(str(mount.source) for mount in self.mounts if mount.type == "volume")

    @property
    def config(self) -> ImageConfig:
        """What a commit of it has for a configuration."""
        return config_from_json(self.settings)

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of its image, and its own."""
        return self.settings.get("Labels") or {}

    def to_record(self) -> dict[str, Any]:
        """Give the form that is kept."""
        return {
            "id": self.id,
            "name": self.name,
            "image": self.image,
            "image_id": str(self.image_id or ""),
            "chain": list(self.layers),
            "lowers": [os.fsencode(each) for each in self.lowers],
            "config": self.settings,
            "args": [os.fsencode(each) for each in self.args],
            "created": self.created_ns,
            "userns": self.in_user_namespace,
            "exit_code": self.exit_code,
            "base": self.base,
            "words": None if self.words is None else [os.fsencode(each) for each in self.words],
            "options": self.options,
            "has_run": self.has_run,
            "error": self.error,
            "mounts": [_packed(each) for each in self.mounts],
            "anonymous": list(self.anonymous),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> KeptContainer:
        """Read the form that is kept."""
        return cls(
            record["id"],
            record["name"],
            record["image"],
            Digest.parse(record["image_id"]) if record["image_id"] else None,
            tuple(record["chain"]),
            tuple(os.fsdecode(each) for each in record["lowers"]),
            record["config"],
            tuple(os.fsdecode(each) for each in record["args"]),
            record["created"],
            record["userns"],
            record["exit_code"],
            record["base"],
            None if record["words"] is None else tuple(os.fsdecode(each) for each in record["words"]),
            record["options"],
            record["has_run"],
            record["error"],
            tuple(_unpacked(each) for each in record["mounts"]),
            tuple(record["anonymous"]),
        )


def _packed(mount: Mount) -> dict[str, Any]:
    """Give what another start, or another container, needs to have the same mount."""
    return {
        "type": mount.type,
        "source": os.fsencode(mount.source or ""),
        "target": os.fsencode(mount.target),
        "read_only": mount.read_only,
        "propagation": mount.propagation,
        "recursive": mount.recursive,
        "subpath": os.fsencode(mount.subpath),
    }


def _unpacked(record: Mapping[str, Any]) -> Mount:
    texts = {key: os.fsdecode(record[key]) for key in ("source", "target", "subpath")}
    return Mount(**{**record, **texts})


def new_container(id: str, name: str | None, **fields: Any) -> KeptContainer:
    """Describe a container of now; without a name it is called by its id."""
    return KeptContainer(id, name or id[:12], created_ns=time.time_ns(), **fields)


def kept_config(
    image: ImageConfig, args: Sequence[str | os.PathLike[str]] | None, options: RunOptions
) -> dict[str, Any]:
    """Give an image's configuration with what a container's options change, in JSON: that of a commit of it."""
    given = parse_env(options.get("environment"))
    variables = {name: value for name, _, value in (entry.partition("=") for entry in image.env)}
    env = {name: value for name, value in (variables | given).items() if value is not None}
    entrypoint = options.get("entrypoint")
    words = combine(replace(image, cmd=()), (), entrypoint) if entrypoint else ()
    cmd = image.cmd if args is None and entrypoint is None else tuple(os.fspath(each) for each in args or ())
    user, working_dir = options.get("user"), options.get("working_dir")
    changed = replace(
        image,
        env=tuple(f"{name}={value}" for name, value in env.items()),
        entrypoint=image.entrypoint if entrypoint is None else words,
        cmd=cmd,
        user=image.user if user is None else str(user),
        working_dir=working_dir or image.working_dir,
        labels=labels(image, options),
    )
    return config_to_json(changed)
