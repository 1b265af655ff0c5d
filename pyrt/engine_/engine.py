"""The engine: builds the rooms bottom-up, runs programs in containers, closes everything top-down.

Takes an image's name, arguments and options; gives a Result or a Process. `run` at the end is the one-liner.
"""

from __future__ import annotations

import atexit
import codecs
import functools
import inspect
import os
import subprocess
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Self, TypeVar, Unpack

from pyrt.container import (
    Draft,
    HostFacts,
    Identity,
    Output,
    Result,
    RunOptions,
    build,
    check_input,
    follow,
    resolve_user,
)
from pyrt.errors import ImageNotFound, InvalidOption, PyrtError, SyscallError, Unsupported
from pyrt.image import ImageView, open_image
from pyrt.runtime.bundle import Bundle, Rootfs
from pyrt.runtime.cgroups import is_orphan
from pyrt.runtime.process import Process
from pyrt.runtime.runtime import Runtime, make_directory
from pyrt.runtime.stdio import Stream, TextMode
from pyrt.snapshot import Overlay, OverlayProbe, Snapshotter

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Engine", "default_root", "run"]

Args = Sequence[str | os.PathLike[str]]
P = ParamSpec("P")
T = TypeVar("T")


class Engine:
    """Containers on one directory, `root`, which any number of engines and processes may share.

    `root` defaults to $PYRT_ROOT, then /var/lib/pyrt for root and ~/.local/share/pyrt for others; it is made where
    it is missing. `cgroup_parent` is the cgroup below which containers get theirs. Close an engine, or use it as a
    context manager: what still runs then is killed. It may be used by any number of threads.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None, *, cgroup_parent: str | None = None) -> None:
        self._closed = True
        self._root = open_root(default_root() if root is None else os.path.abspath(root))
        self._runtime = Runtime(self._root, cgroup_parent=cgroup_parent)
        self._facts = HostFacts.read(self._runtime.mappings.uids, self._runtime.mappings.gids)
        self._overlays = {in_userns: Overlay(user_namespace=in_userns) for in_userns in (False, True)}
        self._probe = OverlayProbe()
        self._host_views: dict[str, ImageView] = {}
        self._running: set[Process] = set()
        self._owner = os.getpid()
        self._closed = False
        self._clear_copies()

    @property
    def _copying(self) -> Snapshotter:
        from pyrt.snapshot import Copying  # for hosts without overlay alone

        return Copying(f"{self._root}/copies")

    @property
    def root(self) -> Path:
        """The directory of this engine."""
        from pathlib import Path

        return Path(self._root)

    def run(
        self,
        image: str,
        args: Args | None = None,
        *,
        input: bytes | str | None = None,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        capture_output: bool = True,
        text: bool | None = None,
        encoding: str | None = None,
        errors: str | None = None,
        timeout: float | None = None,
        check: bool = False,
        output_limit: int | str | None = None,
        output_action: Literal["truncate", "kill"] = "truncate",
        on_stdout: Callable[[Any], object] | None = None,
        on_stderr: Callable[[Any], object] | None = None,
        **options: Unpack[RunOptions],
    ) -> Result:
        """Run a program in a new container of `image`, wait for its end, and give its Result.

        `image` is `host:` (the programs of this machine), `host:full` or `rootfs:DIR`; `args` None means the image's
        own command. All of subprocess.run's arguments mean what they mean there, except that output is captured unless
        it is sent elsewhere, and that stdin is empty unless it is given.

        timeout        seconds, after which everything in the container is killed; then `exit_cause` is a TimedOut and
                       the output up to then is in the result. With check=True it raises ProcessTimeout.
        check          raise ProcessFailed unless the program ends with 0.
        output_limit   bytes (or "10m") of each stream to keep: its head and its tail, with a line between them that
                       says how much was left out. output_action="kill" ends the container instead (OutputLimit).
        on_stdout, on_stderr   called with each line as it comes, without its end; nothing is kept then.

        The other options are those of `docker run`, under docker-py's names: see RunOptions.

        Raises InvalidArgument, ImageNotFound, Unsupported and CommandError (program missing: exit_code 127, not
        executable: 126), each before or without anything left behind.
        """
        mode = text_mode(text, encoding, errors)
        output = Output.read(on_stdout, on_stderr, output_limit, output_action, mode)
        check_input(input, stdin, mode)
        check_timeout(timeout)
        if capture_output or on_stdout is not None:
            stdout = subprocess.PIPE if stdout is None else stdout
        if capture_output or on_stderr is not None:
            stderr = subprocess.PIPE if stderr is None else stderr
        stdin = subprocess.PIPE if input is not None else stdin
        process = self.popen(image, args, stdin=stdin, stdout=stdout, stderr=stderr, **options)
        result = follow(process, output, input=input, timeout=timeout)
        if check:
            result.check_returncode()
        return result

    def popen(
        self,
        image: str,
        args: Args | None = None,
        *,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        text: bool | None = None,
        encoding: str | None = None,
        errors: str | None = None,
        bufsize: int = -1,
        **options: Unpack[RunOptions],
    ) -> Process:
        """Start a program in a new container of `image` and give its Process as soon as the program runs.

        Streams are as in subprocess.Popen: PIPE, DEVNULL, STDOUT, a descriptor or a file; None is the caller's own,
        except for stdin, where it is empty. The options are those of `run`; so are the errors.
        """
        if self._closed or self._owner != os.getpid():
            raise PyrtError("this engine is closed, or belongs to the process that forked this one: make another")
        mode = text_mode(text, encoding, errors)
        container_id = os.urandom(32).hex()
        view = self._open(image)
        draft = self._draft(view, args, options, container_id)
        key = f"{self._runtime.owner}-{container_id}"
        snapshotter = self._snapshotter(view, draft)
        try:
            make_sources(draft.created_sources)
            process = self._runtime.start(
                bundle(view, draft, snapshotter, key),
                profile=draft.seccomp,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                text=mode,
                bufsize=bufsize,
                effective={"storage_driver": snapshotter.name},
                on_end=lambda process: self._forget(process, snapshotter, key),
            )
        except BaseException:
            snapshotter.remove(key)
            raise
        self._running.add(process)
        return process

    def close(self) -> None:
        """Kill what still runs, and free everything. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._owner == os.getpid():
            for process in tuple(self._running):
                process.close()
        self._runtime.close()

    def _open(self, image: str) -> ImageView:
        if not isinstance(image, str):
            raise InvalidOption(f"{type(image).__name__} is no image name", argument="image")
        view = self._host_views.get(image)
        if view is None:
            view = open_image(image)
            if view.is_host:
                self._host_views[image] = view
        return view

    def _draft(self, view: ImageView, args: Args | None, options: RunOptions, container_id: str) -> Draft:
        def lookup(user: str, groups: tuple[str, ...]) -> Identity:
            root = open_directory(view.lowers(user_namespace=False)[0])
            try:
                account = resolve_user(root, user, groups)
            finally:
                os.close(root)
            return Identity(account.user, account.home)

        return build(view.config, args, options, self._facts, lookup, container_id=container_id)

    def _snapshotter(self, view: ImageView, draft: Draft) -> Snapshotter:
        """Overlay where the kernel gives it; a copy where it does not, unless that would be the whole machine."""
        in_userns = any(namespace.type == "user" for namespace in draft.spec.linux.namespaces)
        if in_userns and os.geteuid() == 0:
            return self._overlays[True]  # of idmapped mounts, which no probe by path can stand for
        userns = self._runtime.user_namespace() if in_userns else None
        for lower in view.lowers(user_namespace=in_userns):
            try:
                refusal = self._probe.refusal(lower, userns)
            except SyscallError as error:
                if error.op != "chdir":
                    raise
                who = " by the ids of the user namespace" * in_userns
                raise ImageNotFound(f"{view.name}: {lower} cannot be entered{who}: {error.strerror}") from error
            if refusal is None:
                continue
            if view.is_host:
                raise Unsupported(f"{view.name} as a container", f"no overlay of {lower}: {refusal}")
            if draft.scratch_bytes is not None:
                raise Unsupported(
                    "storage_opt", f"the root has to be a copy, which has no limit: no overlay: {refusal}"
                )
            return self._copying
        return self._overlays[in_userns]

    def _forget(self, process: Process, snapshotter: Snapshotter, key: str) -> None:
        snapshotter.remove(key)
        self._running.discard(process)

    def _clear_copies(self) -> None:
        """Remove what processes that were killed have left."""
        with suppress(FileNotFoundError):
            for key in os.listdir(f"{self._root}/copies"):
                if is_orphan(key):
                    self._copying.remove(key)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._closed and self._owner == os.getpid():
            warnings.warn(f"the engine on {self._root} was not closed", ResourceWarning, source=self, stacklevel=2)
            self.close()


def bundle(view: ImageView, draft: Draft, snapshotter: Snapshotter, key: str) -> Bundle:
    """Prepare the root, under `key`, and put it together with all else that makes a container."""
    root = view.rootfs(snapshotter, key)
    rootfs = Rootfs(root.mounts, root.files + draft.files, draft.scratch_bytes)
    return Bundle(draft.spec, rootfs, draft.init, draft.landlock, draft.stop_signal)


def make_sources(paths: Sequence[str]) -> None:
    """Make the directories of the host that are to be bound. Raises InvalidOption."""
    for path in paths:
        try:
            os.makedirs(path, exist_ok=True)
        except OSError as error:
            raise InvalidOption(f"the source {path} cannot be made: {error.strerror}", argument="mounts") from error


def default_root() -> str:
    """Give the directory of an engine that was told none (see Engine)."""
    chosen = os.environ.get("PYRT_ROOT")
    if chosen:
        return os.path.abspath(chosen)
    if os.geteuid() == 0:
        return "/var/lib/pyrt"
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.join(data, "pyrt")


def open_root(root: str) -> str:
    """Make the directory of an engine. Others may pass through it, as the ids of a user namespace have to."""
    try:
        make_directory(root, 0o711)
        if not os.access(root, os.W_OK | os.X_OK):
            raise PermissionError(13, "not writable")
    except OSError as error:
        message = f"{root} cannot be used: {error.strerror}; choose another with Engine(root=…) or PYRT_ROOT"
        raise InvalidOption(message, argument="root") from error
    return root


def open_directory(path: str) -> int:
    """Give a descriptor of a directory that may change, but will not be another one while this is open."""
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def text_mode(text: bool | None, encoding: str | None, errors: str | None) -> TextMode | None:
    """Give how to read the streams, or None for bytes. Raises InvalidOption for what Python does not know."""
    for name, value, find in (("encoding", encoding, codecs.lookup), ("errors", errors, codecs.lookup_error)):
        try:
            if value is not None:
                find(value)
        except (LookupError, TypeError, ValueError) as error:
            raise InvalidOption(str(error), argument=name) from error
    return TextMode(encoding, errors) if text or encoding or errors else None


def check_timeout(timeout: float | None) -> None:
    """Raise InvalidOption for what is no duration."""
    given: object = timeout
    if given is None or (isinstance(given, (int, float)) and not isinstance(given, bool) and given >= 0):
        return
    raise InvalidOption(f"{timeout!r} is not a number of seconds", argument="timeout")


class _DefaultEngine:
    """The engine of `run`: made at its first call, anew in a forked child, closed when the program ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._owner = 0
        os.register_at_fork(after_in_child=self._forget)

    def get(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = Engine()
                atexit.register(self._engine.close)
            return self._engine

    def _forget(self) -> None:
        self._lock = threading.Lock()
        if self._engine is not None:
            self._engine.close()
            self._engine = None


_default = _DefaultEngine()


def shared(method: Callable[Concatenate[Engine, P], T]) -> Callable[P, T]:
    """Make a function of a method: the same on the engine that the whole program shares."""

    @functools.wraps(method)
    def call(*args: P.args, **arguments: P.kwargs) -> T:
        return method(_default.get(), *args, **arguments)

    signature = inspect.signature(method)
    call.__dict__["__signature__"] = signature.replace(parameters=list(signature.parameters.values())[1:])
    return call


run = shared(Engine.run)
