"""From a Bundle to a running process.

Takes a Bundle (Spec, root, files) and standard streams, gives a Process. Holds what all containers of an engine share:
the sealed program, the keeper, compiled filters, user namespaces, the layout of cgroups.

Raises CommandError where the program cannot be executed, Unsupported for what the host cannot give, InvalidOption,
InvalidSpec, ResourceBusy and SyscallError.
"""

from __future__ import annotations

from pyrt.runtime.bundle import Bundle, File, Landlock, Rootfs
from pyrt.runtime.exit import Cancelled, ExitCause, Exited, OutOfMemory, OutputLimit, Signalled, TimedOut
from pyrt.runtime.process import Process, Timings
from pyrt.runtime.runtime import Runtime
from pyrt.runtime.stdio import Stream, TextMode

__all__ = [
    "Bundle",
    "Cancelled",
    "ExitCause",
    "Exited",
    "File",
    "Landlock",
    "OutOfMemory",
    "OutputLimit",
    "Process",
    "Rootfs",
    "Runtime",
    "Signalled",
    "Stream",
    "TextMode",
    "TimedOut",
    "Timings",
]
