"""What a further program in a running container is, as values, and the contract of who starts it.

Takes nothing and does nothing: `execs` starts what these describe, `process` has the verbs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, TypedDict

from pyrt.runtime.cgroups import Cgroup, Usage
from pyrt.runtime.exit import ExitCause

if TYPE_CHECKING:
    from pyrt.runtime.process import Process
    from pyrt.runtime.stdio import Stream

__all__ = ["ExecOptions", "ExecResult", "Executor", "Target"]


class ExecOptions(TypedDict, total=False):
    """What can be asked of a further program. Everything is optional; not given means as the container's own program.

    user          "name", "uid", "name:group", "uid:gid" or an int, looked up in the container as it is now.
    workdir       absolute path in the container.
    environment   {"NAME": "value"} or ["NAME=value"], over the container's. A value of None, or a name alone in the
                  list, takes away what is set there. HOME is the user's where nobody sets it.
    privileged    True: all capabilities, and no seccomp filter. What the container is not given, such as devices and
                  paths that are hidden, it still does not have.
    tty           True: a terminal of its own. Default False.
    console_size  (rows, columns) of the terminal at the start; default 24 and 80.
    """

    user: str | int | None
    workdir: str | None
    environment: Mapping[str, Any] | Sequence[str] | None
    privileged: bool | None
    tty: bool | None
    console_size: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Target:
    """A running container: its first process, which the pidfd holds, and its cgroup. All belong to the caller."""

    pid: int
    pidfd: int
    cgroup: Cgroup


class _Pair(NamedTuple):
    exit_code: int | None
    output: Any


class ExecResult(_Pair):
    """docker-py's pair of `exit_code` (128+N after signal N) and `output`, and more.

    On cgroup v2 memory is counted for the container as a whole: there `usage` has no memory, and a program that needed
    more than the limit was ended by SIGKILL (Signalled), which the container's own `usage` counts among `oom_kills`.
    `exit_cause` says how it ended, `usage` what it used; both are None of a program that is detached. What
    `output_limit` has left out of the middle is counted by `omitted_bytes`.
    """

    exit_cause: ExitCause | None
    usage: Usage | None
    omitted_bytes: int

    def __new__(
        cls,
        exit_code: int | None,
        output: Any,
        *,
        exit_cause: ExitCause | None = None,
        usage: Usage | None = None,
        omitted_bytes: int = 0,
    ) -> Self:
        """Make one; docker-py's names alone are those of a tuple."""
        self = super().__new__(cls, exit_code, output)
        self.exit_cause, self.usage, self.omitted_bytes = exit_cause, usage, omitted_bytes
        return self


class Executor(Protocol):
    """Starts programs in containers that were all made of the same options.

    It knows what the container's own program was started with; the target says which container. Streams are stdin,
    stdout and stderr, `text` is subprocess's text, encoding and errors. See Process.exec and Process.exec_run.
    """

    def exec(
        self,
        target: Target,
        args: Sequence[str | os.PathLike[str]],
        options: ExecOptions,
        *,
        streams: tuple[Stream, Stream, Stream],
        text: tuple[bool | None, str | None, str | None],
        bufsize: int,
    ) -> Process:
        """Start one and give its Process."""

    def exec_run(
        self,
        target: Target,
        cmd: str | Sequence[str],
        options: ExecOptions,
        *,
        outputs: tuple[bool, bool],
        stdin: Stream,
        input: bytes | str | None,
        detach: bool,
        demux: bool,
        timeout: float | None,
        output_limit: int | str | None,
        on_start: Callable[[Process], None],
    ) -> ExecResult:
        """Run one to its end; `on_start` is told its Process."""
