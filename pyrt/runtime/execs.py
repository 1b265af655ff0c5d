"""Starts further programs in running containers.

Takes a Target and what the program shall be, gives a Process. The order: decide (plan, filter), make a cgroup below the
container's, spawn, entrust the process in there to the keeper, let go, wait for the exec.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from subprocess import DEVNULL
from typing import Any

from pyrt._native.spawn import spawn
from pyrt.errors import ResourceBusy, SyscallError, Unavailable, Unsupported, WrongState
from pyrt.oci.spec import Namespace, Resources
from pyrt.oci.spec import Process as ProcessSpec
from pyrt.runtime import landlock
from pyrt.runtime.bundle import Landlock
from pyrt.runtime.cgroups import Cgroup
from pyrt.runtime.control import Controls, Joined, Started, await_joined, await_start
from pyrt.runtime.exec import Target
from pyrt.runtime.keeper import Keeper
from pyrt.runtime.namespaces import NEW_MOUNTS, join_flags
from pyrt.runtime.plan import add_confinement, add_identity, add_limits, add_oom_score, candidates
from pyrt.runtime.plan_writer import Kind, OpFlag, PlanWriter
from pyrt.runtime.process import Process
from pyrt.runtime.program import Program
from pyrt.runtime.runtime import explain, inherited_limits, kill_and_reap, seal, terminal_streams, timings
from pyrt.runtime.seccomp import Filters
from pyrt.runtime.seccomp import Program as Filter
from pyrt.runtime.stdio import Stdio, Stream, TextMode
from pyrt.runtime.wait import reap, wait_readable

__all__ = ["Exec", "ExecSpec", "Execs"]

_SIGTERM = 15
_ENDING_SECONDS = 0.2
_WAITER_SECONDS = 2.0  # more than what pyrt-init gives a tracer


@dataclass(frozen=True, slots=True)
class ExecSpec:
    """What a further program is: its process, and what confines it.

    `namespaces` are those that its container has of its own; `profile` is a seccomp profile as Filters takes it;
    `stop_signal` is what `terminate` sends.
    """

    process: ProcessSpec
    namespaces: tuple[Namespace, ...]
    profile: bytes | None = None
    landlock: Landlock | None = None
    stop_signal: int = _SIGTERM


class Exec(Process):
    """A further program in a container; its end is not the container's, and the container's is its own.

    `wait` waits for its first process; what that leaves behind goes on, as it does in docker, until the container ends.
    `kill`, `end` and a timeout end all of it, where it has a cgroup; else the first process alone.
    """

    def __init__(self, *args: Any, leader: int, **more: Any) -> None:
        super().__init__(*args, **more)
        self._leader = leader  # a pidfd of the program; what we wait for is pyrt-init, which ends as the program does

    def pause(self) -> None:
        """Raise Unsupported: a container is paused as a whole."""
        raise Unsupported("pause of one program", "a container is paused as a whole, by its own Process")

    unpause = pause

    def update(self, resources: Resources) -> None:
        """Raise Unsupported: limits are the container's."""
        raise Unsupported("limits of one program", "they are the container's, whose own Process changes them")

    def _send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._leader, number)
        if number == signal.SIGKILL:
            self._cgroup.kill_soon()

    def _finish(self, code: int) -> None:
        try:
            super()._finish(code)
        finally:
            leader, self._leader = self._leader, -1
            os.close(leader)


class Execs:
    """Starts programs with what the containers of an engine share. Thread-safe."""

    def __init__(self, program: Program, filters: Filters, keeper: Keeper, controls: Controls) -> None:
        self._program = program
        self._filters = filters
        self._keeper = keeper
        self._controls = controls

    def start(
        self,
        target: Target,
        spec: ExecSpec,
        *,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        text: TextMode | None = None,
        bufsize: int = -1,
        on_end: Callable[[Process, int], None] = lambda process, code: None,
    ) -> Exec:
        """Start a program in a running container and return when it runs.

        It ends with this process, as containers do. Raises WrongState where the container has ended, CommandError where
        the program is missing or cannot be executed.
        """
        begun_ns, process = time.monotonic_ns(), spec.process
        with ExitStack() as undo:
            stdio = (Stdio.open_terminal if process.terminal else Stdio.open)(stdin, stdout, stderr)
            undo.callback(stdio.close)
            start = self._bring_up(target, spec, stdio, undo, is_detached=False)
            started = start.started
            streams = (
                stdio.wrap(text, bufsize) if started.terminal is None else terminal_streams(started.terminal, text)
            )
            undo.pop_all()
        return Exec(
            process.args,
            start.joined.pid,
            start.pidfd,
            start.cgroup,
            leader=start.joined.pidfd,
            streams=streams,
            timings=timings(begun_ns, start.spawning_ns, started),
            started_ns=begun_ns,
            stop_signal=spec.stop_signal,
            has_terminal=started.terminal is not None,
            effective={**target.cgroup.effective, **inherited_limits(process)},
            on_end=lambda process, code: self._end(process, code, start, on_end),
        )

    def detach(self, target: Target, spec: ExecSpec) -> int:
        """Start a program that nobody waits for and that outlives this process; give its pid.

        It has no streams and no terminal's other side, and ends with its container at the latest. Raises as `start`.
        """
        with ExitStack() as undo:
            stdio = Stdio.open(DEVNULL, DEVNULL, DEVNULL)
            undo.callback(stdio.close)
            start = self._bring_up(target, spec, stdio, undo, is_detached=True)
            if start.started.terminal is not None:
                os.close(start.started.terminal)
            undo.pop_all()
        os.close(start.joined.pidfd)
        start.cgroup.close()
        wait_readable(start.pidfd, None)  # it has left the wait to another
        with suppress(Unavailable):  # a host program that waits for any child has been quicker
            reap(start.pidfd)
        os.close(start.pidfd)
        return start.joined.pid

    def _bring_up(self, target: Target, spec: ExecSpec, stdio: Stdio, undo: ExitStack, *, is_detached: bool) -> _Begun:
        """Start it up to the exec; what is made is added to `undo`."""
        try:
            cgroup = target.cgroup.create_below(f"exec-{os.urandom(6).hex()}")
            undo.callback(discard, cgroup)
            spawning_ns = time.monotonic_ns()
            with self._controls.pair() as (control, theirs):
                with theirs:
                    pidfd = self._spawn(target, spec, stdio, cgroup, theirs.fileno(), is_detached=is_detached)
                undo.callback(reap_waiter, pidfd)
                stdio.close_child()
                cgroup.close_join()
                joined = await_joined(control)
                undo.callback(kill, joined.pidfd)
                slot = None
                if not is_detached:
                    slot = self._keeper.add(joined.pidfd)
                    undo.callback(self._keeper.drop, slot)
                return _Begun(cgroup, pidfd, joined, slot, spawning_ns, await_start(control, "program"))
        except (SyscallError, Unavailable) as error:
            if is_ending(target, error):
                raise WrongState("the container has ended", have="exited", want="running") from error
            raise explain_exec(error, spec.process) from error

    def _spawn(
        self, target: Target, spec: ExecSpec, stdio: Stdio, cgroup: Cgroup, control: int, *, is_detached: bool
    ) -> int:
        """Start pyrt-init, which stays outside of the container's cgroups; give its pidfd.

        Where it is no memory file, it must be executed from a read-only mount: a script in the container could else
        have it as its interpreter (/proc/self/exe), and write to the file then.
        """
        is_file = isinstance(self._program.source, str)
        if is_file and os.geteuid() != 0:
            reason = "sysctl vm.memfd_noexec is 2, and only root can do without memory files; 1 or 0 allow it"
            raise Unsupported("exec", reason)
        filter = self._filters.program(spec.profile, spec.process.capabilities.bounding)
        sealed = seal(exec_plan(spec, filter, cgroup, is_detached=is_detached))
        into = (cgroup.into_fd,) if cgroup.into_fd >= 0 else ()
        try:
            fds = (*stdio.child, control, sealed, target.pidfd, *cgroup.join_fds, *into)
            flags = NEW_MOUNTS if is_file else 0
            return spawn(self._program.source, (b"pyrt-init", b"exec"), fds, flags)[1]
        finally:
            os.close(sealed)

    def _end(self, process: Process, code: int, begun: _Begun, on_end: Callable[[Process, int], None]) -> None:
        if begun.slot is not None:
            self._keeper.drop(begun.slot)
        if not wait_readable(begun.joined.pidfd, 0):  # someone has killed pyrt-init, and so nobody waits for it
            kill(begun.joined.pidfd, keep=True)
            begun.cgroup.kill_soon()
        begun.cgroup.remove_unless_used()
        on_end(process, code)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A program that runs, with what was made for it; `pidfd` is that of the pyrt-init that waits for it."""

    cgroup: Cgroup
    pidfd: int
    joined: Joined
    slot: int | None  # of the keeper
    spawning_ns: int
    started: Started


def exec_plan(spec: ExecSpec, filter: Filter | None, cgroup: Cgroup, *, is_detached: bool) -> bytes:
    """Write the way from the host program's side to a program in the container.

    What needs the host's procfs comes first, and nothing is told between JOIN and GO but that JOIN is done.
    """
    writer, process = PlanWriter(), spec.process
    add_oom_score(writer, process)
    writer.add(
        Kind.JOIN,
        OpFlag.DETACH if is_detached else OpFlag.NONE,
        a=join_flags(spec.namespaces),
        b=len(cgroup.join_fds),
        c=int(cgroup.into_fd >= 0),
    )
    writer.add(Kind.GO)
    writer.add(Kind.SETSID)
    if process.terminal:
        rows, columns = process.console_size or (24, 80)
        writer.add(Kind.TTY, a=rows, b=columns, c=process.user.uid)
    add_limits(writer, process)
    add_identity(writer, process)
    if spec.landlock is not None:
        landlock.add(writer, spec.landlock)
    writer.add(Kind.PROGRAM, data=writer.offsets((candidates(process), process.args, process.env)))
    add_confinement(writer, process, filter.code if filter else b"", filter.flags if filter else 0)
    writer.add(Kind.EXEC)
    return writer.finish()


def is_ending(target: Target, error: SyscallError | Unavailable) -> bool:
    """Say whether a start has failed because its container has ended, or is about to.

    A first process that dies leaves its namespaces (ESRCH), takes no new process in (ENOMEM) and kills those that are
    there, all a little before its own end can be seen.
    """
    if isinstance(error, SyscallError) and error.op == "setns" and error.errno == errno.ESRCH:
        return True
    is_suspect = isinstance(error, Unavailable) or error.errno == errno.ENOMEM
    return wait_readable(target.pidfd, _ENDING_SECONDS if is_suspect else 0)


def explain_exec(error: SyscallError | Unavailable, process: ProcessSpec) -> Exception:
    """Turn the failure of a step into what it means."""
    if isinstance(error, Unavailable):
        return error
    if error.op == "clone3" and error.errno == errno.EAGAIN:
        return ResourceBusy("the container has as many processes as its pids_limit, or the user's nproc, allows")
    return explain(error, process, "workdir")


def kill(pidfd: int, *, keep: bool = False) -> None:
    """Kill a process; close its pidfd unless that is kept."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    if not keep:
        os.close(pidfd)


def reap_waiter(pidfd: int) -> None:
    """Let pyrt-init end as what it waits for does, which has been killed or is let go nowhere; else kill it too."""
    wait_readable(pidfd, _WAITER_SECONDS)
    kill_and_reap(pidfd)


def discard(cgroup: Cgroup) -> None:
    """Remove the cgroup of a program that has not come to run."""
    with suppress(ResourceBusy):
        cgroup.kill_soon()
    cgroup.remove_unless_used()
