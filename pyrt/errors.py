"""The vocabulary of failure.

PyrtError                       status 500  exit_code 125
├─ InvalidArgument    400       .argument
│   ├─ InvalidReference         an image name that does not parse
│   ├─ InvalidDigest
│   ├─ InvalidSpec              an OCI document that contradicts itself or the runtime-spec
│   ├─ InvalidOption            a value that its option does not take
│   └─ DockerfileError          .line .instruction
├─ Unauthorized       401
├─ Forbidden          403
├─ NotFound           404
│   └─ ImageNotFound  ContainerNotFound  NetworkNotFound  VolumeNotFound  BlobNotFound
├─ Conflict           409
│   ├─ NameInUse
│   ├─ WrongState               .have .want
│   └─ ResourceBusy
├─ IntegrityError     500
│   └─ DigestMismatch  SizeMismatch
├─ Unsupported        501       .feature .reason
├─ Unavailable        503
│   └─ RegistryError            .code .status .detail
├─ CommandError       400       exit_code 126 (cannot be executed) or 127 (not found)
├─ ProcessFailed      500       .result: what check=True raises, also a subprocess.CalledProcessError
│   └─ ProcessTimeout           also a subprocess.TimeoutExpired
└─ SyscallError       500       .errno .op .filename .step: also an OSError

`status` (HTTP) and `exit_code` (command line) are attributes that the faces read. A message says what failed, on what
and why, and how to mend it where the user can. SyscallError is an OSError but not a FileNotFoundError and its like,
whatever its errno: rooms turn the errnos they expect into their own class.
"""

from __future__ import annotations

import os
import subprocess
from typing import Any

__all__ = [
    "BlobNotFound",
    "CommandError",
    "Conflict",
    "ContainerNotFound",
    "DigestMismatch",
    "DockerfileError",
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
    "ProcessFailed",
    "ProcessTimeout",
    "PyrtError",
    "RegistryError",
    "ResourceBusy",
    "SizeMismatch",
    "SyscallError",
    "Unauthorized",
    "Unavailable",
    "Unsupported",
    "VolumeNotFound",
    "WrongState",
]


class PyrtError(Exception):
    """Root of everything that pyrt raises on purpose."""

    status: int = 500
    exit_code: int = 125


class InvalidArgument(PyrtError):
    """A value that the caller gave is wrong; nothing has been created. `.argument` names it."""

    status = 400

    def __init__(self, message: str, *, argument: str | None = None) -> None:
        super().__init__(message if argument is None else f"{argument}: {message}")
        self.argument = argument


class InvalidReference(InvalidArgument):
    """An image name that does not parse."""


class InvalidDigest(InvalidArgument):
    """A digest that is not `algorithm:hex`, or of an algorithm that is not known."""


class InvalidSpec(InvalidArgument):
    """An OCI document that contradicts itself or the specification."""


class InvalidOption(InvalidArgument):
    """A value that its option does not take."""


class DockerfileError(InvalidArgument):
    """A Dockerfile that cannot be built as it stands: `.line` (from 1) and `.instruction` say where."""

    def __init__(self, message: str, *, line: int, instruction: str | None = None) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.instruction = instruction


class Unauthorized(PyrtError):
    """Credentials are missing or were not accepted."""

    status = 401


class Forbidden(PyrtError):
    """The credentials are good but do not allow this."""

    status = 403


class NotFound(PyrtError):
    """A thing that was asked for by name does not exist."""

    status = 404


class ImageNotFound(NotFound):
    """No image has this name."""


class ContainerNotFound(NotFound):
    """No container has this name or id."""


class NetworkNotFound(NotFound):
    """No network has this name or id."""


class VolumeNotFound(NotFound):
    """No volume has this name."""


class BlobNotFound(NotFound):
    """No blob has this digest."""


class Conflict(PyrtError):
    """The request is sound, but not in the present state of things."""

    status = 409


class NameInUse(Conflict):
    """Something else already has this name."""


class WrongState(Conflict):
    """An object is in state `.have` where the request needs `.want`."""

    def __init__(self, message: str, *, have: str, want: str) -> None:
        super().__init__(message)
        self.have = have
        self.want = want


class ResourceBusy(Conflict):
    """Something is still in use."""


class IntegrityError(PyrtError):
    """Bytes are not what their name says."""


class DigestMismatch(IntegrityError):
    """Content whose digest differs from the one that named it."""


class SizeMismatch(IntegrityError):
    """Content that is longer or shorter than its descriptor says."""


class Unsupported(PyrtError):
    """This host cannot give `.feature`: `.reason` says what lacks, and what would give it."""

    status = 501

    def __init__(self, feature: str, reason: str) -> None:
        super().__init__(f"{feature}: {reason}")
        self.feature = feature
        self.reason = reason


class Unavailable(PyrtError):
    """A service could not be reached or cannot answer now."""

    status = 503


class RegistryError(Unavailable):
    """A registry's own diagnosis: wire `.code`, HTTP `.status`, `.detail`."""

    def __init__(self, message: str, *, code: str, status: int, detail: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.detail = detail


class CommandError(PyrtError):
    """The program of a container cannot be started: `.exit_code` is 127 where it was not found, else 126."""

    status = 400

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class ProcessFailed(PyrtError, subprocess.CalledProcessError):
    """A program run with check=True did not end with 0. `.result` is all that is known of it."""

    def __init__(self, message: str, result: Any) -> None:
        subprocess.CalledProcessError.__init__(self, result.returncode, result.args, result.stdout, result.stderr)
        self.message = message
        self.result = result

    def __str__(self) -> str:
        return self.message


class ProcessTimeout(ProcessFailed, subprocess.TimeoutExpired):
    """A program run with check=True was ended by its timeout; `.timeout` is in seconds."""

    def __init__(self, message: str, result: Any, timeout: float) -> None:
        ProcessFailed.__init__(self, message, result)
        self.timeout = timeout

    __str__ = ProcessFailed.__str__


class SyscallError(PyrtError, OSError):
    """A system call failed: `.errno`, the call `.op`, its object `.filename`, and the `.step` of the plan (0: none)."""

    def __init__(self, errno: int, op: str, filename: str | None = None, step: int = 0, detail: str = "") -> None:
        OSError.__init__(self, errno, os.strerror(errno), filename)
        self.op = op
        self.step = step
        self.detail = detail

    def __str__(self) -> str:
        where = f" {self.filename}" if self.filename else ""
        tail = f" ({self.detail})" if self.detail else ""
        return f"{self.op}{where}: {self.strerror}{tail}"
