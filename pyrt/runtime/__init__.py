"""From a Bundle to a running process.

Takes a Bundle (`bundle`: Spec, root, files) and standard streams, gives a Process (`process`), whose end is one of the
causes in `exit`. `runtime` holds what all containers of an engine share: the sealed program, the keeper, the filters of
`seccomp`, the user namespaces of `rootless`, the layout of `cgroups`. A container that outlives its caller has a
`monitor`; a `link` talks to it, by `protocol`. Each is loaded when it is first imported.

Raises CommandError where the program cannot be executed, Unsupported for what the host cannot give, InvalidOption,
InvalidSpec, ResourceBusy and SyscallError.
"""

from __future__ import annotations

__all__ = [
    "bundle",
    "capabilities",
    "capture",
    "cgroups",
    "exec",
    "execs",
    "exit",
    "joinable",
    "landlock",
    "link",
    "monitor",
    "namespaces",
    "process",
    "program",
    "protocol",
    "rootless",
    "runtime",
    "seccomp",
    "stdio",
    "tty",
    "wait",
]
