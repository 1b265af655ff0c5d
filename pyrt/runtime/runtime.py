"""Starts containers, and holds what all containers of one engine share.

Takes a Bundle, gives a Process. The order of a start: decide (plan, filter), make the cgroup, spawn, entrust to the
keeper, let go, wait for the exec. What was made is unmade in the reverse order when a step fails.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any

from pyrt._native.mount import idmapped
from pyrt._native.path import open_in_root
from pyrt._native.spawn import spawn
from pyrt.errors import CommandError, ResourceBusy, SyscallError, Unavailable, Unsupported
from pyrt.oci.spec import Mount, Spec
from pyrt.oci.spec import Process as ProcessSpec
from pyrt.runtime import mount_options
from pyrt.runtime.bundle import Bundle
from pyrt.runtime.cgroups import Cgroup, Layout, owner_name, sweep
from pyrt.runtime.control import Controls, Started, await_start
from pyrt.runtime.keeper import Keeper
from pyrt.runtime.mount_options import IDMAP
from pyrt.runtime.namespaces import clone_flags
from pyrt.runtime.plan import Planner
from pyrt.runtime.process import Process, Timings
from pyrt.runtime.program import SEALS, Program, write_all
from pyrt.runtime.rootless import UserNamespaces, own_mappings
from pyrt.runtime.seccomp import Filters
from pyrt.runtime.seccomp import Program as Filter
from pyrt.runtime.stack import Clones, Stack, clones
from pyrt.runtime.stdio import Stdio, Stream, TextMode, wrap
from pyrt.runtime.wait import reap, wait_readable

if TYPE_CHECKING:
    from pyrt.runtime.execs import Execs
    from pyrt.runtime.link import Link
    from pyrt.runtime.monitor import Keep

__all__ = ["Runtime"]

MAX_CLONES = 100  # of the descriptors that a child begins with (PRT_SPAWN_FDS)


class Runtime:
    """What the containers of one engine share; `root` is the engine's directory. Thread-safe."""

    def __init__(self, root: str, *, cgroup_parent: str | None = None) -> None:
        make_directory(f"{root}/stage", 0o755)
        self._planner = Planner(f"{root}/stage")
        self._filters = Filters(f"{root}/cache/seccomp")
        self.layout = Layout.detect(cgroup_parent=cgroup_parent)
        clear_leftovers(self.layout)
        self.mappings = own_mappings()
        self._user_namespaces = UserNamespaces()
        self._program = Program(f"{root}/bin")
        self.owner = owner_name()
        self._prefix = f"{self.owner}-{os.urandom(4).hex()}."  # no other engine of this process has the same
        self.bases = tuple(each.base for each in self.layout.hierarchies if each.base is not None)
        self._keeper = Keeper(self._program, self._prefix, self.layout.top, self.bases)
        self._lock = threading.Lock()
        self._serial = 0
        self._controls = Controls()

    def user_namespace(self) -> int:
        """Give the descriptor of the user namespace that containers of this engine share, made at the first call."""
        return self._user_namespaces.get(self.mappings)

    @property
    def program(self) -> int | str:
        """What is executed as pyrt-init: a descriptor, or a path."""
        return self._program.source

    def keep(
        self,
        bundle: Bundle,
        keep: Keep,
        *,
        profile: bytes | None = None,
        before: Callable[[Link], None] = lambda link: None,
    ) -> tuple[Link, Mapping[str, object]]:
        """Start a container that outlives this program, below a monitor of its own; give the connection to that.

        `before` is called with it ahead of the start, for those who must not miss the first byte. The mapping tells
        the limits that are in force. Raises as `start` does, and then nothing is left.
        """
        from pyrt.runtime.monitor import start

        filter = self._filters.program(profile, bundle.spec.process.capabilities.bounding)
        try:
            link, cgroup = start(self, bundle, filter, keep, before)
        except SyscallError as error:
            if error.errno == errno.ECHILD:
                message = (
                    f"container {keep.name} was killed while it started; was its memory limit too small to start in?"
                )
                raise Unavailable(message) from error
            raise explain(error, bundle.spec.process) from error
        cgroup.close()
        return link, {**cgroup.effective, **inherited_limits(bundle.spec.process)}

    def clear_leftovers(self) -> None:
        """End what processes have left that are gone."""
        clear_leftovers(self.layout)

    def next_name(self) -> str:
        """Give a name for a container's cgroup, which says whose it is."""
        with self._lock:
            self._serial += 1
            return f"{self._prefix}{self._serial}"

    def start(
        self,
        bundle: Bundle,
        *,
        profile: bytes | None = None,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        text: TextMode | None = None,
        bufsize: int = -1,
        effective: Mapping[str, object] = MappingProxyType({}),
        on_end: Callable[[Process, int], None] = lambda process, code: None,
    ) -> Process:
        """Start a container and return when its program runs.

        `profile` is a seccomp profile as Filters takes it, `effective` what the caller knows to be in force. `on_end`
        is called once, when the end was noticed. Raises CommandError where the program is missing or cannot be
        executed, and whatever the rooms below say.
        """
        begun_ns, is_terminal = time.monotonic_ns(), bundle.spec.process.terminal
        filter = self._filters.program(profile, bundle.spec.process.capabilities.bounding)
        with ExitStack() as undo:
            stdio = Stdio.open_terminal(stdin, stdout, stderr) if is_terminal else Stdio.open(stdin, stdout, stderr)
            undo.callback(stdio.close)
            cgroup = self._make_cgroup(bundle.spec)
            undo.callback(cgroup.remove)
            spawning_ns = time.monotonic_ns()
            pid, pidfd, slot, started = self._bring_up(bundle, filter, stdio, cgroup, undo)
            streams = (
                stdio.wrap(text, bufsize) if started.terminal is None else terminal_streams(started.terminal, text)
            )
            undo.pop_all()
        return Process(
            bundle.spec.process.args,
            pid,
            pidfd,
            cgroup,
            streams=streams,
            timings=timings(begun_ns, spawning_ns, started),
            started_ns=begun_ns,
            stop_signal=bundle.stop_signal,
            has_terminal=started.terminal is not None,
            effective={**effective, **inherited_limits(bundle.spec.process)},
            on_end=lambda process, code: self._end(process, code, slot, cgroup, on_end),
        )

    def _bring_up(
        self, bundle: Bundle, filter: Filter | None, stdio: Stdio, cgroup: Cgroup, undo: ExitStack
    ) -> tuple[int, int, int, Started]:
        """Spawn, entrust to the keeper, let go, and wait for the exec; what is made is added to `undo`."""
        with self._controls.pair() as (control, theirs):
            with theirs:
                pid, pidfd = self._spawn(bundle, filter, stdio, cgroup, theirs)
            undo.callback(kill_and_reap, pidfd)
            stdio.close_child()
            cgroup.close_join()
            slot = self._keeper.add(pidfd)
            undo.callback(self._keeper.drop, slot)
            try:
                return pid, pidfd, slot, await_start(control)
            except SyscallError as error:
                raise explain(error, bundle.spec.process) from error

    @property
    def execs(self) -> Execs:
        """What starts further programs in running containers."""
        from pyrt.runtime.execs import Execs

        return Execs(self._program, self._filters, self._keeper, self._controls)

    def close(self) -> None:
        """End whatever still runs, and free everything."""
        self._keeper.close()
        clear_leftovers(self.layout)
        self._user_namespaces.close()
        self._program.close()

    def _make_cgroup(self, spec: Spec) -> Cgroup:
        path = spec.linux.cgroups_path or ""
        parent = os.path.dirname(path.lstrip("/")) if path.startswith("/") else None
        return self.layout.create(self.next_name(), spec.linux.resources, parent=parent or None)

    def _spawn(
        self, bundle: Bundle, filter: Filter | None, stdio: Stdio, cgroup: Cgroup, control: socket.socket
    ) -> tuple[int, int]:
        spec = bundle.spec
        userns = self.user_namespace() if any(each.type == "user" for each in spec.linux.namespaces) else -1
        with ExitStack() as opened:
            own, lowers = self._idmapped(bundle, userns, opened) if userns >= 0 else (None, [])
            sealed = self.plan(bundle, filter, cgroup, in_user_namespace=userns >= 0, idmapped=own)
            opened.callback(os.close, sealed)
            return spawn(
                self._program.source,
                (b"pyrt-init",),
                (*stdio.child, control.fileno(), sealed, *lowers),
                clone_flags(spec.linux.namespaces),
                userns=userns,
                cgroup=cgroup.into_fd,
                joins=cgroup.join_fds,
            )

    def plan(
        self,
        bundle: Bundle,
        filter: Filter | None,
        cgroup: Cgroup,
        *,
        in_user_namespace: bool,
        idmapped: Clones | None = None,
    ) -> int:
        """Give a sealed memory file with the plan of a container."""
        return seal(
            self._planner.compile(
                bundle,
                filter=filter.code if filter else b"",
                filter_flags=filter.flags if filter else 0,
                cgroup_mounts=cgroup_mounts(cgroup),
                in_user_namespace=in_user_namespace,
                idmapped=idmapped,
            )
        )

    def _idmapped(self, bundle: Bundle, userns: int, opened: ExitStack) -> tuple[Clones | None, list[int]]:
        """Give what comes with the namespace's ids, for which root alone has the right: a user has one id.

        It is what overlays are of, and what the options of a bind say it of.
        """
        if os.geteuid() != 0:
            return None, []
        stacks = [Stack.read(mount) for mount in bundle.rootfs.mounts if mount.type == "overlay"]
        directories = tuple(clones(stacks))
        binds = [mount for mount in bundle.spec.mounts if IDMAP in mount.options]
        if len(directories) + len(binds) > MAX_CLONES:
            reason = f"{len(directories)} file systems below the root, of which a user namespace can have {MAX_CLONES}"
            raise Unsupported("userns_mode", reason)
        fds = [idmapped_tree(directory, userns, opened) for directory in directories]
        fds += [idmapped_tree(bound_path(mount, opened), userns, opened) for mount in binds]
        ids = min(line.size for line in self.mappings.uids)
        return Clones(directories, ids, tuple(mount.destination for mount in binds)) if fds else None, fds

    def _end(
        self, process: Process, code: int, slot: int, cgroup: Cgroup, on_end: Callable[[Process, int], None]
    ) -> None:
        self._keeper.drop(slot)
        cgroup.remove()
        on_end(process, code)


def idmapped_tree(path: str, userns: int, opened: ExitStack) -> int:
    """Give a mount with the namespace's ids, which is closed with `opened`. Raises Unsupported."""
    try:
        fd = idmapped(path, userns)
    except SyscallError as error:
        reason = f"the file system of {path} cannot show other ids: {error.strerror} (mount_setattr(2))"
        raise Unsupported("userns_mode", reason) from error
    opened.callback(os.close, fd)
    return fd


def bound_path(mount: Mount, opened: ExitStack) -> str:
    """Give a path of what a bind mount shows, on which no link can be put meanwhile."""
    below = mount_options.parse(mount.options).subdirectory
    if not below:
        return mount.source
    top = os.open(mount.source, os.O_PATH | os.O_DIRECTORY)
    opened.callback(os.close, top)
    place = open_in_root(top, below, os.O_PATH)
    opened.callback(os.close, place)
    return f"/proc/self/fd/{place}"


def make_directory(path: str, mode: int) -> None:
    """Make a directory, with all above it, that has this mode whatever the umask; one that is there stays as it is."""
    if not os.path.isdir(path):
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode)


def clear_leftovers(layout: Layout) -> None:
    """Remove the cgroups of processes that are gone, and parents that are empty. A stuck one is no reason to fail."""
    try:
        sweep(layout)
    except ResourceBusy as error:
        warnings.warn(f"what a dead process left cannot be removed: {error}", RuntimeWarning, stacklevel=4)


def cgroup_mounts(cgroup: Cgroup) -> tuple[Mount, ...]:
    """Give the mounts that show a container its cgroup, in the hierarchies that it is in.

    In the others it is in the caller's own cgroup, whose inside is not for it to see.
    """
    if cgroup.layout.kind == "v2":
        return (Mount("unified", "cgroup2", "cgroup"),)
    hierarchies = (place.hierarchy for place in cgroup.places)
    return tuple(
        Mount(os.path.basename(hierarchy.mount), "cgroup2", "cgroup")
        if hierarchy.version == 2
        else Mount(os.path.basename(hierarchy.mount), "cgroup", "cgroup", tuple(sorted(hierarchy.controllers)))
        for hierarchy in hierarchies
    )


def seal(packed: bytes) -> int:
    """Give a sealed memory file that holds a plan."""
    fd = os.memfd_create("plan", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        write_all(fd, packed)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def kill_and_reap(pidfd: int) -> None:
    """End a container that did not get to its program."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    wait_readable(pidfd, None)
    reap(pidfd)
    os.close(pidfd)


def terminal_streams(terminal: int, text: TextMode | None) -> tuple[IO[Any], IO[Any], None]:
    """Give the two directions of a terminal as streams of their own."""
    other = fcntl.fcntl(terminal, fcntl.F_DUPFD_CLOEXEC, 3)
    return wrap(terminal, "wb", text, 0 if text is None else -1), wrap(other, "rb", text, -1), None


def timings(begun_ns: int, spawning_ns: int, started: Started) -> Timings:
    """Give the phases of a start from its moments."""
    return Timings(
        prepare_ns=spawning_ns - begun_ns,
        spawn_ns=started.entered_ns - spawning_ns,
        root_ns=started.rooted_ns - started.entered_ns,
        confine_ns=started.ready_ns - started.rooted_ns,
        exec_ns=time.monotonic_ns() - started.ready_ns,
    )


def inherited_limits(process: ProcessSpec) -> dict[str, object]:
    """Give the limits that the kernel keeps outside of cgroups; a start that could not set one has failed."""
    found: dict[str, object] = {
        limit.type.removeprefix("RLIMIT_").lower(): (limit.soft, limit.hard) for limit in process.rlimits
    }
    if process.oom_score_adj is not None:
        found["oom_score_adj"] = process.oom_score_adj
    return found


def explain(error: SyscallError, process: ProcessSpec, argument: str = "working_dir") -> Exception:
    """Turn the failure of a step that the caller can mend into what it means."""
    program, reason = process.args[0], error.strerror or ""
    if error.op == "execve":
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            where = "" if "/" in program else " on the container's PATH"
            return CommandError(f"{program}: no such program{where} (or its interpreter is missing)", exit_code=127)
        hint = " (is it a script without #! or for another architecture?)" if error.errno == errno.ENOEXEC else ""
        return CommandError(f"{program} cannot be executed: {error.detail or reason}{hint}", exit_code=126)
    if error.op == "chdir" or (error.filename == process.cwd and error.op in ("mkdir", "openat2", "open")):
        why = f"{reason} ({error.detail})" if error.detail else reason
        return CommandError(f"{argument} {process.cwd} cannot be entered: {why}", exit_code=126)
    return error
