"""Containers: from an image's configuration and the caller's options to what the runtime executes.

Takes ImageConfig, RunOptions and HostFacts; gives a Draft, which with the mounts of a snapshot is a Bundle. Raises
InvalidOption naming the option that is wrong, Unsupported for what the host or this release cannot give.

The parsers read the notations of the docker command line; each gives a value or raises InvalidOption. KeptStore and
ContainerCollection are of containers that stay when their program has ended: ContainerNotFound, WrongState, NameInUse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrt.container.blkio import parse_throttle, parse_weight
from pyrt.container.devices import DeviceMapping, parse_device, parse_device_rule
from pyrt.container.env import parse_env, parse_env_file
from pyrt.container.host import HostFacts
from pyrt.container.mount import Mount, parse_mount, parse_volume
from pyrt.container.options import RunOptions
from pyrt.container.result import Result
from pyrt.container.run import Output, check_input, check_timeout, follow, text_mode
from pyrt.container.sizes import parse_size
from pyrt.container.spec import Draft, Identity, Lookup, build
from pyrt.container.stop import parse_signal
from pyrt.container.tmpfs import parse_tmpfs
from pyrt.container.ulimits import Ulimit, parse_ulimit
from pyrt.container.user import resolve_user
from pyrt.container.wishes import Wishes, read_wishes

if TYPE_CHECKING:
    from pyrt.container.collection import Committer, Container, ContainerCollection, Keeping
    from pyrt.container.exec import ContainerExecutor
    from pyrt.container.kept import KeptContainer, KeptStore, kept_config

__all__ = [
    "Committer",
    "Container",
    "ContainerCollection",
    "ContainerExecutor",
    "DeviceMapping",
    "Draft",
    "HostFacts",
    "Identity",
    "Keeping",
    "KeptContainer",
    "KeptStore",
    "Lookup",
    "Mount",
    "Output",
    "Result",
    "RunOptions",
    "Ulimit",
    "Wishes",
    "build",
    "check_input",
    "check_timeout",
    "follow",
    "kept_config",
    "parse_device",
    "parse_device_rule",
    "parse_env",
    "parse_env_file",
    "parse_mount",
    "parse_signal",
    "parse_size",
    "parse_throttle",
    "parse_tmpfs",
    "parse_ulimit",
    "parse_volume",
    "parse_weight",
    "read_wishes",
    "resolve_user",
    "text_mode",
]

_HOMES = {
    "ContainerExecutor": "exec",
    "KeptContainer": "kept",
    "KeptStore": "kept",
    "kept_config": "kept",
} | dict.fromkeys(("Committer", "Container", "ContainerCollection", "Keeping"), "collection")


def __getattr__(name: str) -> object:
    """Load what is about kept containers, and about running ones, when it is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"pyrt.container.{_HOMES[name]}"), name)
