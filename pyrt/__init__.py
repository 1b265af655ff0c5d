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
    from pyrt.engine import Engine, Process, Result, run
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

__all__ = [
    "BlobNotFound",
    "CommandError",
    "Conflict",
    "ContainerNotFound",
    "DigestMismatch",
    "DockerfileError",
    "Engine",
    "Forbidden",
    "ImageNotFound",
    "IntegrityError",
    "InvalidArgument",
    "InvalidDigest",
    "InvalidOption",
    "InvalidReference",
    "InvalidSpec",
    "NameInUse",
    "NetworkNotFound",
    "NotFound",
    "Process",
    "ProcessFailed",
    "ProcessTimeout",
    "PyrtError",
    "RegistryError",
    "ResourceBusy",
    "Result",
    "SizeMismatch",
    "SyscallError",
    "Unauthorized",
    "Unavailable",
    "Unsupported",
    "VolumeNotFound",
    "WrongState",
    "run",
]

__version__ = "0.1.0"

_ENGINE = frozenset({"Engine", "Process", "Result", "run"})


def __getattr__(name: str) -> object:
    """Load a public name from its home (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module("pyrt.engine" if name in _ENGINE else "pyrt.errors")
    return globals().setdefault(name, getattr(home, name))


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
