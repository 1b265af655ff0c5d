"""Further programs in running containers: docker exec's rules and defaults.

Takes what the container was made of (its image's configuration, its options, its Draft) and what is asked of the
program; gives its ExecSpec, and by an Executor its Process. What is not asked is as the container's own program has it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from pyrt._native.path import open_in_root
from pyrt.container.checks import boolean, container_path, fail, text
from pyrt.container.command import combine
from pyrt.container.env import merge, parse_env
from pyrt.container.host import HostFacts
from pyrt.container.options import RunOptions
from pyrt.container.run import Output, check_input, check_timeout, follow, text_mode
from pyrt.container.security import capabilities
from pyrt.container.spec import Draft, Identity, console_size, find_identity
from pyrt.container.user import resolve_user
from pyrt.errors import SyscallError, WrongState
from pyrt.oci.config import ImageConfig
from pyrt.runtime.exec import ExecOptions, ExecResult, Target
from pyrt.runtime.execs import Execs, ExecSpec
from pyrt.runtime.seccomp import UNCONFINED
from pyrt.runtime.wait import wait_readable

if TYPE_CHECKING:
    from pyrt.runtime.process import Process
    from pyrt.runtime.stdio import Stream

__all__ = ["ContainerExecutor"]

_NAMES = frozenset(ExecOptions.__annotations__)
_KILLED = 128  # and the signal's number: a shell's convention, and docker's


@dataclass(frozen=True, slots=True)
class ContainerExecutor:
    """An Executor (pyrt.runtime.exec) for containers that were made of one Draft."""

    execs: Execs
    host: HostFacts
    config: ImageConfig
    options: RunOptions
    draft: Draft

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
        """Start a program and give its Process."""
        mode = text_mode(*text)
        spec = self.spec(target, args, options)
        stdin, stdout, stderr = streams
        return self.execs.start(target, spec, stdin=stdin, stdout=stdout, stderr=stderr, text=mode, bufsize=bufsize)

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
        """Run a program to its end, unless it is to be detached."""
        for name, value in (("stdout", outputs[0]), ("stderr", outputs[1]), ("detach", detach), ("demux", demux)):
            boolean(value, name)
        check_input(input, stdin, None)
        check_timeout(timeout)
        output = Output.read(None, None, output_limit, "truncate", None)
        spec = self.spec(target, words(cmd), options)
        if detach:
            for name, wanted in (
                ("tty", spec.process.terminal),
                ("input", input is not None),
                ("stdin", stdin is not None),
            ):
                if wanted:
                    fail(name, "a program that is detached has none: leave out one of the two")
            self.execs.detach(target, spec)
            return ExecResult(None, b"")
        stdout, stderr = directions(outputs, demux=demux, has_terminal=spec.process.terminal)
        stdin = subprocess.PIPE if input is not None else stdin
        process = self.execs.start(target, spec, stdin=stdin, stdout=stdout, stderr=stderr)
        on_start(process)
        result = follow(process, output, input=input, timeout=timeout)
        code = result.returncode
        return ExecResult(
            code if code >= 0 else _KILLED - code,
            (result.stdout or None, result.stderr or None) if demux else result.stdout or result.stderr or b"",
            exit_cause=result.exit_cause,
            usage=result.usage,
            omitted_bytes=result.stdout_omitted_bytes + result.stderr_omitted_bytes,
        )

    def spec(self, target: Target, args: Sequence[str | os.PathLike[str]], asked: ExecOptions) -> ExecSpec:
        """Decide everything about a program, by what is asked and what the container has.

        Raises InvalidOption naming the option that is wrong, WrongState where the container has ended.
        """
        if unknown := asked.keys() - _NAMES:
            fail(min(unknown), f"is no option of exec; there are {', '.join(sorted(_NAMES))}")
        own, draft = self.draft.spec.process, self.draft
        privileged, tty = (boolean(asked.get(name) or False, name) for name in ("privileged", "tty"))
        identity = self._identity(target, asked)
        user = own.user if identity is None else replace(identity.user, umask=own.user.umask)
        workdir = asked.get("workdir")
        process = replace(
            own,
            args=combine(self.config, args, ()),
            cwd=container_path(workdir, "workdir") if workdir else own.cwd,
            env=self._env(asked, identity, tty=tty),
            user=user,
            terminal=tty,
            console_size=console_size(asked.get("console_size")),
            capabilities=capabilities(
                self.options,
                self.host,
                privileged=privileged or bool(self.options.get("privileged")),
                in_userns=any(each.type == "user" for each in draft.spec.linux.namespaces),
                is_root=user.uid == 0,
            ),
        )
        profile = UNCONFINED if privileged else draft.seccomp
        return ExecSpec(process, draft.spec.linux.namespaces, profile, draft.landlock, draft.stop_signal)

    def _identity(self, target: Target, asked: ExecOptions) -> Identity | None:
        """Find who the program runs as; None: as the container's own."""
        user = asked.get("user")
        if user is None or user == "":
            return None

        def lookup(name: str, groups: tuple[str, ...]) -> Identity:
            with root_of(target) as open_path:
                return resolve_user(open_path, name, groups)

        return find_identity(self.config, cast(RunOptions, {**self.options, "user": user}), lookup)

    def _env(self, asked: ExecOptions, identity: Identity | None, *, tty: bool) -> tuple[str, ...]:
        own = dict(entry.partition("=")[::2] for entry in self.draft.spec.process.env)
        given = parse_env(self.options.get("environment")) | parse_env(asked.get("environment"))
        home = own.get("HOME", "/") if identity is None else identity.home
        return merge(self.config.env, given, hostname=own.get("HOSTNAME", ""), tty=tty, home=home)


def words(cmd: str | Sequence[str]) -> Sequence[str]:
    """Give the words of a command, split as docker-py does where it is text. Raises InvalidOption."""
    if not isinstance(cmd, str):
        return cmd
    import shlex

    try:
        return shlex.split(text(cmd, "cmd"))
    except ValueError as error:
        fail("cmd", f"{cmd!r} cannot be split into words: {error}")


def directions(outputs: tuple[bool, bool], *, demux: bool, has_terminal: bool) -> tuple[Stream, Stream]:
    """Say where the streams go: both to one pipe, in the order of what is written, unless they are to be told apart."""
    stdout, stderr = (subprocess.PIPE if wanted else subprocess.DEVNULL for wanted in outputs)
    if has_terminal:
        return subprocess.PIPE, None
    return stdout, subprocess.STDOUT if all(outputs) and not demux else stderr


@contextmanager
def root_of(target: Target) -> Iterator[Callable[[str], int]]:
    """Lend what opens (O_PATH) the files of a running container, with no link in there leading out of it.

    Raises WrongState where it has ended, SyscallError where this process may not look into it.
    """
    try:
        root = os.open(f"/proc/{target.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        if wait_readable(target.pidfd, 0):
            raise WrongState("the container has ended", have="exited", want="running") from error
        raise SyscallError(error.errno or 0, "open", error.filename) from error
    try:
        if wait_readable(target.pidfd, 0):  # the number may have been another's
            raise WrongState("the container has ended", have="exited", want="running")
        yield lambda path: open_in_root(root, path, os.O_PATH)
    finally:
        os.close(root)
