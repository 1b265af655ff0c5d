"""What programs can be started in: the verbs exec and exec_run of a Process.

Takes an Executor, which knows what the container was made of; gives Processes of further programs.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Unpack

from pyrt.errors import WrongState

if TYPE_CHECKING:
    from pyrt.runtime.exec import ExecOptions, ExecResult, Executor, Target
    from pyrt.runtime.process import Process
    from pyrt.runtime.stdio import Stream

__all__ = ["Joinable"]


class Joinable(ABC):
    """A running container, once `allow_exec` has said by what programs are started in it."""

    def __init__(self) -> None:
        self._make_executor: Callable[[], Executor] | None = None

    def allow_exec(self, make_executor: Callable[[], Executor]) -> None:
        """Let `exec` and `exec_run` start programs by the executor that this gives."""
        self._make_executor = make_executor

    def exec(
        self,
        args: Sequence[str | os.PathLike[str]],
        *,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        text: bool | None = None,
        encoding: str | None = None,
        errors: str | None = None,
        bufsize: int = -1,
        **options: Unpack[ExecOptions],
    ) -> Process:
        """Start a further program in the container and give its Process as soon as the program runs.

        Streams are as in subprocess.Popen, options as in ExecOptions. The program counts towards the container's limits
        and ends with it; its own `usage` is counted apart, and `kill` ends all that it has started. It keeps the
        container from nothing: that ends when its first process does. Raises WrongState where the container has ended
        or is paused, CommandError where the program is missing or cannot be executed, InvalidOption.
        """
        with self._target() as target:
            made = self._executor().exec(
                target,
                args,
                options,
                streams=(stdin, stdout, stderr),
                text=(text, encoding, errors),
                bufsize=bufsize,
            )
        self._note_exec(made)
        return made

    def exec_run(
        self,
        cmd: str | Sequence[str],
        *,
        stdout: bool = True,
        stderr: bool = True,
        stdin: Stream = None,
        input: bytes | str | None = None,
        detach: bool = False,
        demux: bool = False,
        timeout: float | None = None,
        output_limit: int | str | None = None,
        **options: Unpack[ExecOptions],
    ) -> ExecResult:
        """Run a further program in the container, wait for its end, and give its exit code and output.

        As docker-py's: a `cmd` that is text is split as a shell would; `output` is bytes, of both streams as they come,
        or with `demux` a pair of stdout and stderr (None: nothing came). `detach` does not wait: then there is neither
        code nor output, and the program lives until it or the container ends. After `timeout` seconds all that it has
        started is killed, and `exit_cause` is a TimedOut. `output_limit` is as in `run`. Raises as `exec` does.
        """
        with self._target() as target:
            return self._executor().exec_run(
                target,
                cmd,
                options,
                outputs=(stdout, stderr),
                stdin=stdin,
                input=input,
                detach=detach,
                demux=demux,
                timeout=timeout,
                output_limit=output_limit,
                on_start=self._note_exec,
            )

    def _executor(self) -> Executor:
        if self._make_executor is None:
            raise WrongState("programs are started in a container by its own Process", have="an exec", want="container")
        return self._make_executor()

    @abstractmethod
    def _target(self) -> AbstractContextManager[Target]:
        """Lend what is to be joined. Raises WrongState where that has ended or is paused."""

    @abstractmethod
    def _note_exec(self, made: Process) -> None:
        """Remember a program that was started."""
