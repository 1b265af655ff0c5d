"""Containers that are kept when their program has ended: what they are, and what they have written.

Takes the state's database and a directory; gives KeptContainers. A record comes to be before the container starts;
while its program runs, the process that owns it holds a lock, which ends with that process, as the container does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyrt.container.command import combine
from pyrt.container.env import parse_env
from pyrt.container.mount import Mount
from pyrt.container.options import RunOptions
from pyrt.container.spec import labels
from pyrt.errors import ContainerNotFound, InvalidOption, NameInUse, WrongState
from pyrt.oci.config import ImageConfig
from pyrt.oci.digest import Digest
from pyrt.oci.image import config_from_json, config_to_json
from pyrt.state import Database, FileLock, Records, Transaction

__all__ = ["KeptContainer", "KeptStore", "kept_config"]

VERSION = 1


@dataclass(frozen=True, slots=True)
class KeptContainer:
    """One container: `config` is its image's with what its options changed, `chain` the ChainIDs of its layers.

    `exit_code` is None while it runs, and where its owner died before it could note the end. `mounts` are its binds and
    volumes, each with its name, and `anonymous` the volumes that were made for it.
    """

    id: str
    name: str
    image: str
    image_id: Digest | None
    chain: tuple[Digest, ...]
    lowers: tuple[str, ...]
    config: ImageConfig
    args: tuple[str, ...]
    created_ns: int
    in_user_namespace: bool = False
    exit_code: int | None = None
    mounts: tuple[Mount, ...] = ()
    anonymous: tuple[str, ...] = ()

    def to_record(self) -> dict[str, Any]:
        """Give the form that is kept."""
        return {
            "id": self.id,
            "name": self.name,
            "image": self.image,
            "image_id": str(self.image_id or ""),
            "chain": [str(each) for each in self.chain],
            "lowers": [os.fsencode(each) for each in self.lowers],
            "config": config_to_json(self.config),
            "args": [os.fsencode(each) for each in self.args],
            "created": self.created_ns,
            "userns": self.in_user_namespace,
            "exit_code": self.exit_code,
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
            tuple(Digest.parse(each) for each in record["chain"]),
            tuple(os.fsdecode(each) for each in record["lowers"]),
            config_from_json(record["config"]),
            tuple(os.fsdecode(each) for each in record["args"]),
            record["created"],
            record["userns"],
            record["exit_code"],
            tuple(_unpacked(each) for each in record.get("mounts", ())),
            tuple(record.get("anonymous", ())),
        )

    @property
    def volumes(self) -> tuple[str, ...]:
        """The names of its volumes."""
        return tuple(str(mount.source) for mount in self.mounts if mount.type == "volume")


class KeptStore:
    """The kept containers of a root; their locks lie in `directory`. Any number of processes may use it at once."""

    def __init__(self, database: Database, directory: str) -> None:
        self._database = database
        self._directory = directory
        self._records = Records(database, "container", VERSION, KeptContainer.to_record, KeptContainer.from_record)

    def add(self, container: KeptContainer) -> FileLock:
        """Record a container that is about to start; give the lock to hold while it runs.

        Raises NameInUse.
        """
        os.makedirs(self._directory, 0o700, exist_ok=True)  # nobody else reaches set-user-ID files of a container
        with self._database.write() as tx:
            for _, other in self._records.items(tx):
                if other.name == container.name:
                    raise NameInUse(f"the name {container.name} belongs to container {other.id[:12]}: remove it first")
            lock = FileLock(self._lock(container.id))
            self._records.put(tx, container.id, container)
        return lock

    def ended(self, id: str, exit_code: int | None) -> None:
        """Note how a container ended."""
        with self._database.write() as tx:
            self._records.put(tx, id, replace(self._records.get(tx, id), exit_code=exit_code))

    def find(self, text: str) -> KeptContainer:
        """Give the container of a name, an id or the beginning of one. Raises ContainerNotFound, InvalidOption."""
        found = [each for each in self.all() if text in (each.name, each.id)]
        found = found or [each for each in self.all() if text and each.id.startswith(text)]
        if not found:
            raise ContainerNotFound(f"{text}: no container was kept under this name or id")
        if len(found) > 1:
            raise InvalidOption(f"{text}: {len(found)} containers have an id that begins so", argument="container")
        return found[0]

    def all(self) -> list[KeptContainer]:
        """Give all containers, the newest first."""
        with self._database.read() as tx:
            return sorted(self.items(tx), key=lambda each: -each.created_ns)

    def items(self, tx: Transaction) -> Iterator[KeptContainer]:
        """Give all containers within a transaction."""
        for _, container in self._records.items(tx):
            yield container

    def is_running(self, container: KeptContainer) -> bool:
        """Say whether its program runs."""
        lock = FileLock.attempt(self._lock(container.id))
        if lock is None:
            return True
        lock.close()
        return False

    def borrow(self, container: KeptContainer) -> FileLock:
        """Keep a container that has ended from being started, changed or removed by others.

        Raises WrongState where it runs, ContainerNotFound where it has been removed meanwhile.
        """
        lock = FileLock.attempt(self._lock(container.id))
        if lock is None:
            raise WrongState(f"container {container.name} runs: stop it first", have="running", want="exited")
        try:
            self.find(container.id)
        except BaseException:
            lock.unlink()
            raise
        return lock

    def forget(self, container: KeptContainer) -> None:
        """Remove the record of a container."""
        with self._database.write() as tx:
            self._records.delete(tx, container.id)

    def new(self, id: str, name: str | None, **fields: Any) -> KeptContainer:
        """Describe a container of now; without a name it is called by its id."""
        return KeptContainer(id, name or id[:12], created_ns=time.time_ns(), **fields)

    def _lock(self, id: str) -> str:
        return f"{self._directory}/{id}.lock"


def _packed(mount: Mount) -> dict[str, Any]:
    """Give what another container needs to have the same mount, as it is kept."""
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


def kept_config(image: ImageConfig, args: Sequence[str | os.PathLike[str]] | None, options: RunOptions) -> ImageConfig:
    """Give an image's configuration with what the options of a container change: what a commit of it is to have."""
    given = parse_env(options.get("environment"))
    variables = {name: value for name, _, value in (entry.partition("=") for entry in image.env)}
    env = {name: value for name, value in (variables | given).items() if value is not None}
    entrypoint = options.get("entrypoint")
    words = combine(replace(image, cmd=()), (), entrypoint) if entrypoint else ()
    cmd = image.cmd if args is None and entrypoint is None else tuple(os.fspath(each) for each in args or ())
    user, working_dir = options.get("user"), options.get("working_dir")
    return replace(
        image,
        env=tuple(f"{name}={value}" for name, value in env.items()),
        entrypoint=image.entrypoint if entrypoint is None else words,
        cmd=cmd,
        user=image.user if user is None else str(user),
        working_dir=working_dir or image.working_dir,
        labels=labels(image, options),
    )
