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
from pyrt.container.volumes import VolumeWish, inherited, parse_volumes_from
from pyrt.container.wishes import Wishes, read_wishes

if TYPE_CHECKING:
    from pyrt.container.attach import Attachment
    from pyrt.container.collection import ContainerCollection
    from pyrt.container.condition import Condition
    from pyrt.container.container import Container
    from pyrt.container.create_options import CreateOptions, check_create, run_options
    from pyrt.container.documents import options_from_document, options_to_document
    from pyrt.container.exec import ContainerExecutor
    from pyrt.container.keeping import Committer, Keeping
    from pyrt.container.kept import KeptStore
    from pyrt.container.log_compression import compress_rotated
    from pyrt.container.logs import LogLine, follow_logs, log_bytes, printed_logs, read_logs
    from pyrt.container.policy import LogConfig, RestartPolicy
    from pyrt.container.record import KeptContainer, kept_config, new_container

__all__ = [
    "Attachment",
    "Committer",
    "Condition",
    "Container",
    "ContainerCollection",
    "ContainerExecutor",
    "CreateOptions",
    "DeviceMapping",
    "Draft",
    "HostFacts",
    "Identity",
    "Keeping",
    "KeptContainer",
    "KeptStore",
    "LogConfig",
    "LogLine",
    "Lookup",
    "Mount",
    "Output",
    "RestartPolicy",
    "Result",
    "RunOptions",
    "Ulimit",
    "VolumeWish",
    "Wishes",
    "build",
    "check_create",
    "check_input",
    "check_timeout",
    "compress_rotated",
    "follow",
    "follow_logs",
    "inherited",
    "kept_config",
    "log_bytes",
    "new_container",
    "options_from_document",
    "options_to_document",
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
    "parse_volumes_from",
    "parse_weight",
    "printed_logs",
    "read_logs",
    "read_wishes",
    "resolve_user",
    "run_options",
    "text_mode",
]

_HOMES = {
    "Attachment": "attach",
    "Committer": "keeping",
    "Condition": "condition",
    "Container": "container",
    "ContainerCollection": "collection",
    "ContainerExecutor": "exec",
    "CreateOptions": "create_options",
    "Keeping": "keeping",
    "KeptContainer": "record",
    "KeptStore": "kept",
    "LogConfig": "policy",
    "LogLine": "logs",
    "RestartPolicy": "policy",
    "check_create": "create_options",
    "compress_rotated": "log_compression",
    "follow_logs": "logs",
    "kept_config": "record",
    "log_bytes": "logs",
    "new_container": "record",
    "options_from_document": "documents",
    "options_to_document": "documents",
    "printed_logs": "logs",
    "read_logs": "logs",
    "run_options": "create_options",
}


def __getattr__(name: str) -> object:
    """Load what is about kept containers when it is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"pyrt.container.{_HOMES[name]}"), name)
