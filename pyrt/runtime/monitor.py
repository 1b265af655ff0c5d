"""Starts a container that outlives the host program: a monitor keeps it (csrc/init/monitor.c).

Takes a Bundle, the container's directory and its lock; gives the Link that the monitor was made with, on which STARTED
has come. The monitor comes first, because the cgroup carries its name: when it is gone, whoever sweeps next ends what
is in there.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyrt._native.error import raise_packed
from pyrt._native.spawn import spawn
from pyrt.errors import Unavailable
from pyrt.runtime.cgroups import owner_name
from pyrt.runtime.link import Link
from pyrt.runtime.namespaces import clone_flags
from pyrt.runtime.protocol import Message, Order, Policy, StartFlag, pack_start
from pyrt.runtime.wait import wait_readable

if TYPE_CHECKING:
    from pyrt.runtime.bundle import Bundle
    from pyrt.runtime.cgroups import Cgroup
    from pyrt.runtime.runtime import Runtime
    from pyrt.runtime.seccomp import Program as Filter

__all__ = ["Keep", "start"]

MAX_ATTRIBUTES_BYTES = 32768
_LEAVING_SECONDS = 10.0
_NO_FLAGS = StartFlag(0)


@dataclass(frozen=True, slots=True)
class Keep:
    """How a monitor keeps its container.

    `log_bytes` is the size at which the log is rotated (0: never), `log_files` how many of them there may be.
    `attributes` are those of its events: what stands between the braces of a JSON object.
    """

    directory: str
    lock: int
    id: str
    name: str
    attributes: bytes = b""
    flags: StartFlag = _NO_FLAGS
    policy: Policy = Policy.NO
    retries: int = 0
    log_bytes: int = 0
    log_files: int = 1


def start(
    runtime: Runtime,
    bundle: Bundle,
    filter: Filter | None,
    keep: Keep,
    before: Callable[[Link], None] = lambda link: None,
) -> tuple[Link, Cgroup]:
    """Start a container below a new monitor; `before` may attach to it first.

    Raises SyscallError for a step that failed, and then nothing of the monitor is left.
    """
    with ExitStack() as undo:
        link, pid = make_monitor(runtime.program, keep)
        undo.callback(link.close)
        cgroup = runtime.layout.create(f"{owner_name(pid)}-{keep.id[:12]}", bundle.spec.linux.resources)
        undo.callback(cgroup.remove)
        before(link)
        with ExitStack() as opened:
            content, fds = order(runtime, bundle, filter, keep, cgroup, opened)
            code = link.ask(Order.START, content=content, fds=fds)
        if code:
            raise Unavailable(f"the monitor of container {keep.name} does not take the order: {os.strerror(code)}")
        undo.pop_all()  # the cgroup is the monitor's from now on
        cgroup.close()
        undo.callback(abandon, link)
        told = link.expect(Message.STARTED, Message.FAILED)
        if told.kind is Message.FAILED:
            raise_packed(told.content)
        undo.pop_all()
    return link, cgroup


def abandon(link: Link) -> None:
    """End a container whose start was not waited for, and wait for the end of its monitor."""
    with suppress(Unavailable), link:
        link.send(Order.SIGNAL, signal.SIGKILL, 1)
        while link.receive(_LEAVING_SECONDS) is not None:
            continue


def make_monitor(program: int | str, keep: Keep) -> tuple[Link, int]:
    """Start a monitor, which is nobody's child soon after, and give the connection to it, and its pid."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link = Link(ours, keep.name)
    directory = -1
    try:
        directory = os.open(keep.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        _, pidfd = spawn(program, (b"pyrt-init", b"monitor"), (theirs.fileno(), keep.lock, directory))
        try:
            wait_readable(pidfd, None)
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        except ChildProcessError:  # a host program that waits for any child has reaped it
            wait_readable(pidfd, None)
        finally:
            os.close(pidfd)
        theirs.close()
        told = link.expect(Message.HELLO, Message.FAILED)
        if told.kind is Message.FAILED:
            raise_packed(told.content)
        return link, told.a
    except BaseException:
        link.close()
        raise
    finally:
        theirs.close()
        if directory >= 0:
            os.close(directory)


def order(
    runtime: Runtime, bundle: Bundle, filter: Filter | None, keep: Keep, cgroup: Cgroup, opened: ExitStack
) -> tuple[bytes, tuple[int, ...]]:
    """Give the body of START and its descriptors, those that are made for it closed with `opened`."""
    userns = runtime.user_namespace() if any(each.type == "user" for each in bundle.spec.linux.namespaces) else -1
    plan = runtime.plan(bundle, filter, cgroup, in_user_namespace=userns >= 0)
    opened.callback(os.close, plan)
    fds = [plan, program_fd(runtime.program, opened)]

    def place(fd: int) -> int:
        if fd < 0:
            return 0
        fds.append(fd)
        return len(fds) - 1

    places = [place(userns), place(cgroup.into_fd), place(counter(cgroup, opened))]
    for group in (cgroup.join_fds, [directory(path, opened) for path in runtime.bases]):
        places += [len(fds), len(group)]
        fds += group
    strings = (cgroup.name, runtime.layout.top, keep.id)
    content = pack_start(
        namespaces=clone_flags(bundle.spec.linux.namespaces),
        log_bytes=keep.log_bytes,
        log_files=keep.log_files,
        flags=keep.flags,
        policy=keep.policy,
        retries=keep.retries,
        places=(places[0], places[1], places[2], places[3], places[4], places[5], places[6]),
        strings=(strings[0].encode(), strings[1].encode(), strings[2].encode(), keep.attributes[:MAX_ATTRIBUTES_BYTES]),
    )
    return content, tuple(fds)


def program_fd(program: int | str, opened: ExitStack) -> int:
    """Give a descriptor of pyrt-init; of a file, one that the monitor mounts read-only for each start."""
    if isinstance(program, int):
        return program
    fd = os.open(program, os.O_PATH | os.O_CLOEXEC)
    opened.callback(os.close, fd)
    return fd


def directory(path: str, opened: ExitStack) -> int:
    """Open a directory for reading."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    opened.callback(os.close, fd)
    return fd


def counter(cgroup: Cgroup, opened: ExitStack) -> int:
    """Open the file that counts what the OOM killer has ended; -1 where nobody counts."""
    for place in cgroup.places:
        name = "memory.oom_control" if place.hierarchy.version == 1 else "memory.events"
        try:
            fd = os.open(f"{place.directory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        opened.callback(os.close, fd)
        return fd
    return -1
