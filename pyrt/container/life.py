"""Start, stop, wait and remove: the states of a container that is kept, and the ways from one to the next.

Each takes a Keeping and the record of a container. What cannot be done in the state it is in is a WrongState.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

from pyrt.container.condition import Condition
from pyrt.container.documents import options_from_document, options_to_document
from pyrt.container.keeping import Keeping
from pyrt.container.record import KeptContainer
from pyrt.container.stop import parse_signal
from pyrt.errors import (
    ContainerNotFound,
    InvalidOption,
    NotFound,
    ResourceBusy,
    SyscallError,
    Unavailable,
    Unsupported,
    VolumeNotFound,
    WrongState,
)
from pyrt.runtime.cgroups import Cgroup
from pyrt.runtime.link import Link, Told
from pyrt.runtime.protocol import Attach, Message, Order, Policy
from pyrt.state import FileLock

__all__ = [
    "cgroup",
    "change_options",
    "check_owned",
    "clear",
    "condition",
    "connect",
    "is_over",
    "kill",
    "pause",
    "remove",
    "settle",
    "start",
    "stop",
    "unpause",
    "update_policy",
    "wait",
]

Waited = Literal["not-running", "next-exit", "removed"]
_STOP_SECONDS = 10
_KILLED = 137
_KILL_SECONDS = 30.0
_STOPPING = (signal.SIGKILL, signal.SIGTERM)
_PAUSE_SECONDS = 0.05
_DYING_SECONDS = 2.0


def condition(keeping: Keeping[Any], kept: KeptContainer) -> Condition:
    """Say how a container is, and end what a killed monitor left."""
    found = keeping.store.condition(kept)
    return settle(keeping, kept, found) if found.is_lost else found


def clear(keeping: Keeping[Any]) -> None:
    """Remove what crashes have left that no record names: directories, locks, and what killed monitors held."""
    keeping.store.clear(keeping.uppers.remove)
    keeping.launching.sweep()


def is_over(keeping: Keeping[Any], kept: KeptContainer) -> bool:
    """Say whether a container was to go at its end, and has ended: then it is removed, unless somebody is about to."""
    if not kept.options.get("auto_remove"):
        return False
    now = keeping.store.condition(kept)
    if now.status != "exited" or not now.started_ns:
        return False
    with suppress(ContainerNotFound, WrongState):
        remove(keeping, kept, volumes=True)
    return True


def settle(keeping: Keeping[Any], kept: KeptContainer, found: Condition) -> Condition:
    """End what is left of a container whose monitor was killed; it must be gone before another start."""
    deadline = time.monotonic() + _DYING_SECONDS
    while found.cgroup and time.monotonic() < deadline:
        try:
            keeping.launching.cgroup(found.cgroup).close()
        except (NotFound, InvalidOption):  # it is gone, or the state is damaged, and names nothing
            break
        keeping.launching.sweep()  # which leaves it alone while its monitor is dying, and has let go of the lock
        time.sleep(_PAUSE_SECONDS / 10)
    return found


def start(
    keeping: Keeping[Any], kept: KeptContainer, before: Callable[[Link], None] = lambda link: None
) -> Link | None:
    """Start a container; None where it runs already. Raises WrongState where it is paused."""
    now = condition(keeping, kept)
    if now.status == "paused":
        raise WrongState(f"container {kept.name} is paused: unpause it", have="paused", want="exited")
    if now.status in ("running", "restarting"):
        return None
    try:
        return keeping.launching.start(kept, before)
    except WrongState:
        if condition(keeping, kept).status in ("running", "restarting"):
            return None  # another process was faster
        raise


def stop(
    keeping: Keeping[Any], kept: KeptContainer, timeout: float | None = None, number: str | int | None = None
) -> None:
    """Send the stop signal, and SIGKILL after `timeout` seconds; a container that does not run stays as it is.

    `timeout` None is what the container was made with, then 10; -1 waits for ever. `number` is sent instead of the
    container's own stop signal.
    """
    options = options_from_document(kept.options)
    if timeout is None:
        asked = options.get("stop_timeout")
        timeout = _STOP_SECONDS if asked is None else asked
    asked_signal = number or options.get("stop_signal") or kept.config.stop_signal or signal.SIGTERM
    number = parse_signal(asked_signal)
    now = condition(keeping, kept)
    if not now.is_running:
        return
    check_owned(kept, "stopped by another process than the one that runs it")
    with suppress(WrongState, Unavailable), Link.connect(keeping.store.directory(kept), kept.name) as link:
        link.attach(Attach.STATUS)  # where its monitor is gone it has ended just now
        link.ask(Order.SIGNAL, number, 1)
        if now.status == "paused":
            unpause(keeping, kept)
        if not _await_end(link, None if timeout < 0 else timeout):
            link.ask(Order.SIGNAL, signal.SIGKILL, 1)
            _thaw(keeping, kept)
            _await_end(link, _KILL_SECONDS)
    if not keeping.store.await_release(kept, _KILL_SECONDS):
        raise Unavailable(f"container {kept.name} does not end: a process of it is stuck in the kernel")
    keeping.emit("stop", kept, {})


def kill(keeping: Keeping[Any], kept: KeptContainer, number: str | int = signal.SIGKILL) -> None:
    """Send a signal to the container's first process. Raises WrongState where it does not run."""
    number = parse_signal(number)
    now = condition(keeping, kept)
    if not now.is_running or now.status == "restarting":
        raise WrongState(f"container {kept.name} is not running", have=now.status, want="running")
    check_owned(kept, "killed by another process than the one that runs it")
    code = errno.ESRCH
    with suppress(Unavailable), Link.connect(keeping.store.directory(kept), kept.name) as link:
        if number == signal.SIGKILL:
            link.attach(Attach.STATUS)
        code = link.ask(Order.SIGNAL, number, int(number in _STOPPING))
        if number == signal.SIGKILL:
            _thaw(keeping, kept)
        if number == signal.SIGKILL and not code:
            _await_end(link, _KILL_SECONDS)
    if code:
        raise WrongState(f"container {kept.name} is not running: {os.strerror(code)}", have="exited", want="running")
    keeping.emit("kill", kept, {"signal": str(int(number))})


def _thaw(keeping: Keeping[Any], kept: KeptContainer) -> None:
    """Let the dead die: what v1's freezer holds does not, and somebody may pause it at this moment."""
    now = condition(keeping, kept)
    if now.status == "paused":
        with suppress(WrongState), cgroup(keeping, kept, now) as frozen:
            frozen.thaw()


def wait(
    keeping: Keeping[Any], kept: KeptContainer, timeout: float | None = None, until: Waited = "not-running"
) -> int | None:
    """Wait for the end of a container; give its exit code, or None after `timeout` seconds.

    `until` "next-exit" also waits where it does not run, or is started again; "removed" until there is no record.
    """
    if until not in ("not-running", "next-exit", "removed"):
        raise InvalidOption(f"{until!r} is none of not-running, next-exit, removed", argument="condition")
    deadline = None if timeout is None else time.monotonic() + timeout
    code: int | None = None
    while True:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left < 0:
            return None
        try:
            kept = keeping.store.find(kept.id)
        except ContainerNotFound:
            if until == "removed":
                return code or 0
            raise
        now = condition(keeping, kept)
        if now.is_running:
            code = _follow(keeping, kept, left, until)
            if code is not None and until != "removed":
                return code
        elif until == "not-running" or (until == "removed" and is_over(keeping, kept)):
            lost = _KILLED if kept.has_run else 0  # who ran it was killed, and it with that
            return lost if now.exit_code is None else now.exit_code
        else:
            time.sleep(_PAUSE_SECONDS)


def _follow(keeping: Keeping[Any], kept: KeptContainer, timeout: float | None, until: Waited) -> int | None:
    """Wait while a container runs; None where something else came between, or the time is over."""
    if kept.has_run:
        keeping.store.await_release(kept, timeout)
        return None
    try:
        with Link.connect(keeping.store.directory(kept), kept.name) as link:
            link.attach(Attach.STATUS)
            ended = _await_end(link, timeout, is_last=until == "not-running")
        if ended is None:
            return None
        keeping.store.await_release(kept, _KILL_SECONDS)
        return ended.a
    except (WrongState, Unavailable):
        time.sleep(_PAUSE_SECONDS / 10)  # it ends at this moment, and its state is about to say so
        return None


def _await_end(link: Link, timeout: float | None, *, is_last: bool = True) -> Told | None:
    """Give the message of the end, or None after `timeout` seconds; `is_last`: the one without a restart."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = None if deadline is None else deadline - time.monotonic()
        told = link.receive(left if left is None else max(0.0, left))
        if told is None:
            return None
        if told.kind is Message.EXITED and (not told.b or not is_last):
            return told
        if told.kind is Message.FAILED:
            return told


def pause(keeping: Keeping[Any], kept: KeptContainer) -> None:
    """Freeze everything in a container. Raises WrongState, and Unsupported without a cgroup that can."""
    with _alone(keeping, kept):
        _pause(keeping, kept)


def _pause(keeping: Keeping[Any], kept: KeptContainer) -> None:
    now = condition(keeping, kept)
    if now.status != "running":
        raise WrongState(f"container {kept.name} is {now.status}, not running", have=now.status, want="running")
    with cgroup(keeping, kept, now) as running:
        _note_pause(keeping, kept, is_paused=True)  # first, for what is frozen must never be shown as running
        try:
            running.freeze()
        except BaseException:
            with suppress(WrongState, Unavailable):
                _note_pause(keeping, kept, is_paused=False)
            raise


def unpause(keeping: Keeping[Any], kept: KeptContainer) -> None:
    """Let everything in a container go on. Raises WrongState where it is not paused."""
    with _alone(keeping, kept):
        now = condition(keeping, kept)
        if now.status != "paused":
            raise WrongState(f"container {kept.name} is not paused", have=now.status, want="paused")
        with cgroup(keeping, kept, now) as frozen:
            frozen.thaw()
        _note_pause(keeping, kept, is_paused=False)


def _alone(keeping: Keeping[Any], kept: KeptContainer) -> FileLock:
    """Keep others from pausing and unpausing it meanwhile: to freeze and to say so are two things."""
    try:
        return FileLock(f"{keeping.store.directory(kept)}/pausing")
    except SyscallError as error:
        raise ContainerNotFound(f"container {kept.name} has been removed meanwhile") from error


def _note_pause(keeping: Keeping[Any], kept: KeptContainer, *, is_paused: bool) -> None:
    code = errno.ESRCH
    with suppress(Unavailable), Link.connect(keeping.store.directory(kept), kept.name) as link:
        code = link.ask(Order.PAUSED, int(is_paused))
    if code:
        raise WrongState(f"container {kept.name} has ended just now", have="exited", want="running")


class Borrowed:
    """The cgroup of a running container, which is its monitor's: closed at the end, and left as it is.

    Where the container ends meanwhile, and its files with it, that is a WrongState.
    """

    def __init__(self, cgroup: Cgroup, name: str) -> None:
        self._cgroup = cgroup
        self._name = name

    def __enter__(self) -> Cgroup:
        return self._cgroup

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._cgroup.close()
        if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENODEV):
            raise WrongState(f"container {self._name} has ended just now", have="exited", want="running") from error


def cgroup(keeping: Keeping[Any], kept: KeptContainer, now: Condition) -> Borrowed:
    """Lend the cgroup of a running container. Raises WrongState where it does not run, Unsupported without one."""
    if not now.is_running:
        raise WrongState(f"container {kept.name} is not running", have=now.status, want="running")
    check_owned(kept, "looked into by another process than the one that runs it")
    try:
        return Borrowed(keeping.launching.cgroup(now.cgroup), kept.name)
    except NotFound as error:
        if keeping.store.condition(kept).is_running:
            reason = "this user may make none, so it has none; a delegated cgroup would give it one (see `pyrt doctor`)"
            raise Unsupported(f"the cgroup of container {kept.name}", reason) from error
        raise WrongState(f"container {kept.name} is not running", have=now.status, want="running") from error


def connect(keeping: Keeping[Any], kept: KeptContainer) -> Link:
    """Connect to the monitor of a running container. Raises WrongState where it does not run."""
    check_owned(kept, "attached to by another process than the one that runs it")
    return Link.connect(keeping.store.directory(kept), kept.name)


def remove(keeping: Keeping[Any], kept: KeptContainer, *, force: bool = False, volumes: bool = False) -> None:
    """Remove a container with all that it has written; `force` kills it first. Raises WrongState while it runs.

    `volumes`: also those that were made for it, unless another container uses them.
    """
    now = condition(keeping, kept)
    if now.is_running and not force:
        message = f"container {kept.name} is {now.status}: stop it first, or force the removal"
        raise WrongState(message, have=now.status, want="exited")
    if now.is_running:
        stop(keeping, kept, 0)
    with keeping.store.borrow(kept) as lock:
        keeping.store.forget(kept)  # first: a directory without a record is cleared by who looks next
        keeping.uppers.remove(kept.id)
        lock.unlink()
    for name in kept.anonymous if volumes else ():
        with suppress(VolumeNotFound, ResourceBusy):
            keeping.remove_volume(name)
    keeping.emit("destroy", kept, {})


def update_policy(keeping: Keeping[Any], kept: KeptContainer, policy: Policy, retries: int) -> None:
    """Tell a running container's monitor the policy that its record has now."""
    with suppress(WrongState, Unavailable), Link.connect(keeping.store.directory(kept), kept.name) as link:
        link.ask(Order.POLICY, policy, retries)


def change_options(keeping: Keeping[Any], kept: KeptContainer, **options: Any) -> KeptContainer:
    """Set options in the record of a container, and give that."""
    given = options_to_document(options)
    return keeping.store.change(kept.id, lambda now: replace(now, options={**now.options, **given}))


def check_owned(kept: KeptContainer, what: str) -> None:
    """Raise Unsupported for a container that another program runs, which is not to be `what`."""
    if kept.has_run:
        reason = "it is run by a program that waits for it, and ends with that; run it with detach=True"
        raise Unsupported(f"container {kept.name} to be {what}", reason)
