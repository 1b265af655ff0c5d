"""pyrt: containers as a library, to Docker what SQLite is to a database server.

    >>> import pyrt
    >>> pyrt.run("host:", ["python3", "-c", "print(6*7)"], capture_output=True, text=True).stdout
    '42\\n'

Every public name is loaded when it is first used, so that `import pyrt` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyrt.container import (
        Attachment,
        Condition,
        Container,
        ContainerCollection,
        CreateOptions,
        Mount,
        Result,
        RunOptions,
        Ulimit,
    )
    from pyrt.engine import Engine, run
    from pyrt.errors import (
        BlobNotFound,
        CommandError,
        Conflict,
        ContainerNotFound,
        DigestMismatch,
        DockerfileError,
        Forbidden,
        ImageNotFound,
        IntegrityError,
        InvalidArgument,
        InvalidDigest,
        InvalidOption,
        InvalidReference,
        InvalidSpec,
        NameInUse,
        NetworkNotFound,
        NotFound,
        ProcessFailed,
        ProcessTimeout,
        PyrtError,
        RegistryError,
        ResourceBusy,
        SizeMismatch,
        SyscallError,
        Unauthorized,
        Unavailable,
        Unsupported,
        VolumeNotFound,
        WrongState,
    )
    from pyrt.files import ContainerFS, Copied
    from pyrt.image import Image, ImageCollection, Progress
    from pyrt.layer import Change
    from pyrt.registry import Credentials, RegistryOptions
    from pyrt.runtime.bundle import Landlock
    from pyrt.runtime.exec import ExecOptions, ExecResult
    from pyrt.runtime.exit import Cancelled, ExitCause, Exited, OutOfMemory, OutputLimit, Signalled, TimedOut
    from pyrt.runtime.process import Process
    from pyrt.volume import Volume, VolumeCollection

__all__ = [
    "Attachment",
    "BlobNotFound",
    "Cancelled",
    "Change",
    "CommandError",
    "Condition",
    "Conflict",
    "Container",
    "ContainerCollection",
    "ContainerFS",
    "ContainerNotFound",
    "Copied",
    "CreateOptions",
    "Credentials",
    "DigestMismatch",
    "DockerfileError",
    "Engine",
    "ExecOptions",
    "ExecResult",
    "ExitCause",
    "Exited",
    "Forbidden",
    "Image",
    "ImageCollection",
    "ImageNotFound",
    "IntegrityError",
    "InvalidArgument",
    "InvalidDigest",
    "InvalidOption",
    "InvalidReference",
    "InvalidSpec",
    "Landlock",
    "Mount",
    "NameInUse",
    "NetworkNotFound",
    "NotFound",
    "OutOfMemory",
    "OutputLimit",
    "Process",
    "ProcessFailed",
    "ProcessTimeout",
    "Progress",
    "PyrtError",
    "RegistryError",
    "RegistryOptions",
    "ResourceBusy",
    "Result",
    "RunOptions",
    "Signalled",
    "SizeMismatch",
    "SyscallError",
    "TimedOut",
    "Ulimit",
    "Unauthorized",
    "Unavailable",
    "Unsupported",
    "Volume",
    "VolumeCollection",
    "VolumeNotFound",
    "WrongState",
    "run",
]

__version__ = "0.1.0"

_HOMES = {
    "Change": "pyrt.layer",
    "Attachment": "pyrt.container",
    "Condition": "pyrt.container",
    "Container": "pyrt.container",
    "CreateOptions": "pyrt.container",
    "ContainerCollection": "pyrt.container",
    "ContainerFS": "pyrt.files",
    "Copied": "pyrt.files",
    "Credentials": "pyrt.registry",
    "Engine": "pyrt.engine",
    "ExecOptions": "pyrt.runtime.exec",
    "ExecResult": "pyrt.runtime.exec",
    "Image": "pyrt.image",
    "ImageCollection": "pyrt.image",
    "Landlock": "pyrt.runtime.bundle",
    "Mount": "pyrt.container",
    "Process": "pyrt.runtime.process",
    "Progress": "pyrt.image",
    "RegistryOptions": "pyrt.registry",
    "Result": "pyrt.container",
    "RunOptions": "pyrt.container",
    "Ulimit": "pyrt.container",
    "Volume": "pyrt.volume",
    "VolumeCollection": "pyrt.volume",
    "run": "pyrt.engine",
    **dict.fromkeys(
        ("Cancelled", "ExitCause", "Exited", "OutOfMemory", "OutputLimit", "Signalled", "TimedOut"), "pyrt.runtime.exit"
    ),
}


def __getattr__(name: str) -> object:
    """Load a public name from its home (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(_HOMES.get(name, "pyrt.errors"))
    return globals().setdefault(name, getattr(home, name))


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
