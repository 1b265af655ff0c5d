"""The engine itself: runs programs in containers."""

from __future__ import annotations

import os
import subprocess
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from pyrt.container import (
    Draft,
    HostFacts,
    Identity,
    Output,
    Result,
    RunOptions,
    build,
    check_input,
    check_timeout,
    follow,
    read_wishes,
    resolve_user,
    text_mode,
)
from pyrt.engine.rooms import Kept, Passing, Rooms
from pyrt.errors import ImageNotFound, InvalidOption, PyrtError, SyscallError, Unsupported
from pyrt.image import ImageView, Views
from pyrt.runtime.bundle import Bundle, Rootfs
from pyrt.runtime.cgroups import is_orphan
from pyrt.runtime.process import Process
from pyrt.runtime.runtime import Runtime
from pyrt.runtime.stdio import Stream
from pyrt.snapshot import Merged, Snapshotter, Snapshotters
from pyrt.state import default_root, open_root

if TYPE_CHECKING:
    from pathlib import Path

    from pyrt.container import ContainerCollection
    from pyrt.image import Image, ImageCollection
    from pyrt.registry import RegistryOptions

__all__ = ["Engine"]

Args = Sequence[str | os.PathLike[str]]


class Engine:
    """Containers on one directory, `root`, which any number of engines and processes may share.

    `root` defaults to $PYRT_ROOT, then /var/lib/pyrt for root and ~/.local/share/pyrt for others; it is made where
    it is missing. `cgroup_parent` is the cgroup below which containers get theirs. Close an engine, or use it as a
    context manager: what still runs then is killed. It may be used by any number of threads.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        cgroup_parent: str | None = None,
        registries: RegistryOptions | None = None,
    ) -> None:
        self._closed = True
        self._root = open_root(default_root() if root is None else os.path.abspath(root))
        self._runtime = Runtime(self._root, cgroup_parent=cgroup_parent)
        self._facts = HostFacts.read(self._runtime.mappings.uids, self._runtime.mappings.gids)
        self._snapshotters = Snapshotters(f"{self._root}/copies")
        self._rooms = Rooms(self._root, self._runtime, registries)
        self._views = Views(lambda: self._rooms.workshop)
        self._running: set[Process] = set()
        self._owner = os.getpid()
        self._closed = False
        self._snapshotters.clear(is_orphan)

    @property
    def root(self) -> Path:
        """The directory of this engine."""
        from pathlib import Path

        return Path(self._root)

    @property
    def images(self) -> ImageCollection:
        """The images of this root: pull, push, list, remove, … (see ImageCollection)."""
        from pyrt.image import ImageCollection

        return ImageCollection(self._rooms.workshop)

    @property
    def containers(self) -> ContainerCollection[Image]:
        """The containers that were kept (`remove=False`) when their program ended (see ContainerCollection)."""
        from pyrt.container import ContainerCollection

        return ContainerCollection(self._rooms.keeping)

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

        `image` is a name as Docker has it, an image's id, `host:` (the programs of this machine), `rootfs:DIR`,
        `oci:DIR`, `oci-archive:FILE` or `docker-archive:FILE`; one that is missing is pulled. `args` None means the
        image's own command. All of
        subprocess.run's arguments mean what they mean there, except that output is captured unless it is sent
        elsewhere, and that stdin is empty unless it is given.

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
        wishes = read_wishes(options)
        view = self._views.open(image, pull=wishes.pull, platform=wishes.platform, on_progress=wishes.on_progress)
        container_id = os.urandom(32).hex()
        with ExitStack() as undo:
            undo.callback(view.close)
            draft = self._draft(view, args, options, container_id)
            root = self._layer(view, draft, args, options, container_id)
            undo.callback(root.undo)
            make_sources(draft.created_sources)
            process = self._runtime.start(
                bundle(view, draft, root.snapshotter, root.key),
                profile=draft.seccomp,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                text=mode,
                bufsize=bufsize,
                effective={"storage_driver": root.snapshotter.name},
                on_end=lambda process, code: self._ended(process, code, view, root),
            )
            undo.pop_all()
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
            self._rooms.close()
        self._runtime.close()

    def _draft(self, view: ImageView, args: Args | None, options: RunOptions, container_id: str) -> Draft:
        def lookup(user: str, groups: tuple[str, ...]) -> Identity:
            lowers = view.lowers(user_namespace=False)
            image = Merged(lowers[:1] if view.is_host else lowers)  # those of the host are each at a place of its own
            account = resolve_user(image.open, user, groups)
            return Identity(account.user, account.home)

        return build(view.config, args, options, self._facts, lookup, container_id=container_id)

    def _layer(
        self, view: ImageView, draft: Draft, args: Args | None, options: RunOptions, container_id: str
    ) -> Passing | Kept:
        """Decide where the container writes to, and how long that lasts."""
        snapshotter = self._snapshotter(view, draft)
        if not read_wishes(options).remove:
            return self._rooms.keep(view, draft, args, options, snapshotter, container_id)
        return Passing(snapshotter, f"{self._runtime.owner}-{container_id}")

    def _ended(self, process: Process, code: int, view: ImageView, root: Passing | Kept) -> None:
        self._running.discard(process)
        root.ended(code)
        view.close()

    def _snapshotter(self, view: ImageView, draft: Draft) -> Snapshotter:
        """Overlay where the kernel gives it; a copy where it does not, unless that would be the whole machine."""
        in_userns = any(namespace.type == "user" for namespace in draft.spec.linux.namespaces)
        if in_userns and os.geteuid() == 0:
            return self._snapshotters.overlay(user_namespace=True)  # of idmapped mounts, which no probe by path can try
        userns = self._runtime.user_namespace() if in_userns else None
        lowers = view.lowers(user_namespace=in_userns)
        try:  # layers lie beside each other: one stands for all
            refused = self._snapshotters.refusal(lowers if view.is_host else lowers[:1], userns)
        except SyscallError as error:
            if error.op != "chdir":
                raise
            who = " by the ids of the user namespace" * in_userns
            raise ImageNotFound(f"{view.name}: {error.filename} cannot be entered{who}: {error.strerror}") from error
        if refused is None:
            return self._snapshotters.overlay(user_namespace=in_userns)
        lower, refusal = refused
        if view.is_host:
            raise Unsupported(f"{view.name} as a container", f"no overlay of {lower}: {refusal}")
        if draft.scratch_bytes is not None:
            raise Unsupported("storage_opt", f"the root has to be a copy, which has no limit: no overlay: {refusal}")
        return self._snapshotters.copying

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
