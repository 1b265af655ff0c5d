"""Starts the containers of an engine: from an image's view and the caller's options to a Process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from pyrt.container import (
    Draft,
    HostFacts,
    Identity,
    Lookup,
    RunOptions,
    build,
    read_wishes,
    resolve_user,
)
from pyrt.engine.layers import Kept, NoVolumes, Passing
from pyrt.errors import ImageNotFound, InvalidOption, SyscallError, Unsupported
from pyrt.runtime.bundle import Bundle, Rootfs
from pyrt.runtime.cgroups import is_orphan
from pyrt.snapshot import Merged, Snapshotter, Snapshotters

if TYPE_CHECKING:
    from pyrt.engine.rooms import Rooms
    from pyrt.engine.volumes import Volumes
    from pyrt.image import ImageView
    from pyrt.layer import Root
    from pyrt.oci.config import ImageConfig
    from pyrt.runtime.exec import Executor
    from pyrt.runtime.process import Process
    from pyrt.runtime.runtime import Runtime
    from pyrt.runtime.stdio import Stream, TextMode

__all__ = ["Launcher", "make_sources"]

Args = Sequence[str | os.PathLike[str]]


class Launcher:
    """What the containers of one engine have in common, made when the first is started. Thread-safe."""

    def __init__(self, root: str, runtime: Runtime, rooms: Rooms) -> None:
        self._runtime = runtime
        self._rooms = rooms
        self.facts = HostFacts.read(runtime.mappings.uids, runtime.mappings.gids)
        self._snapshotters = Snapshotters(f"{root}/copies")
        self._snapshotters.clear(is_orphan)
        rooms.sweep_volumes()
        self._running: set[Process] = set()
        self._by_id: WeakValueDictionary[str, Process] = WeakValueDictionary()

    def start(
        self,
        view: ImageView,
        args: Args | None,
        options: RunOptions,
        *,
        stdin: Stream,
        stdout: Stream,
        stderr: Stream,
        text: TextMode | None,
        bufsize: int,
    ) -> Process:
        """Start a program in a new container of `view`, which is closed when the container ends or does not start."""
        container_id = os.urandom(32).hex()
        with ExitStack() as undo:
            undo.callback(view.close)
            draft = self.draft(view, args, options, container_id)
            name = options.get("name") or container_id[:12]
            lowers = () if view.is_host else view.lowers(user_namespace=False)  # the host's files are copied into none
            draft, volumes = self.volumes(draft, lowers, name, is_passing=read_wishes(options).remove)
            undo.callback(volumes.undo)
            root = self._layer(view, draft, args, options, container_id, volumes.anonymous)
            undo.callback(root.undo)
            make_sources(draft.created_sources)
            process = self._runtime.start(
                bundle(view, draft, root.snapshotter, root.key),
                profile=draft.seccomp,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                text=text,
                bufsize=bufsize,
                effective={"storage_driver": root.snapshotter.name},
                on_end=lambda process, code: self._ended(process, code, view, root, volumes),
            )
            undo.pop_all()
        process.allow_exec(lambda: self.executor(view.config, options, draft))
        self._running.add(process)
        self._by_id[root.key] = process
        return process

    def open_root(self, container_id: str) -> Root | None:
        """Give the files of a container that this engine runs, None where it does not."""
        process = self._by_id.get(container_id)
        return None if process is None or process.poll() is not None else process.open_root()

    def executor(self, config: ImageConfig, options: RunOptions, draft: Draft) -> Executor:
        """Give what starts further programs in containers of one draft."""
        from pyrt.container import ContainerExecutor  # which most containers do without

        return ContainerExecutor(self._runtime.execs, self.facts, config, options, draft)

    def close(self) -> None:
        """Kill what still runs."""
        for process in tuple(self._running):
            process.close()

    def draft(self, view: ImageView, args: Args | None, options: RunOptions, container_id: str) -> Draft:
        """Decide everything about a container but the mounts of its root."""

        def lookup(user: str, groups: tuple[str, ...]) -> Identity:
            lowers = view.lowers(user_namespace=False)
            # those of the host are each at a place of its own
            return self.lookup(Merged(lowers[:1] if view.is_host else lowers))(user, groups)

        inherited = self._rooms.inherited(options)
        return build(view.config, args, options, self.facts, lookup, container_id=container_id, inherited=inherited)

    def lookup(self, root: Merged) -> Lookup:
        """Give what finds users in the files of a root."""

        def lookup(user: str, groups: tuple[str, ...]) -> Identity:
            account = resolve_user(root.open, user, groups)
            return Identity(account.user, account.home)

        return lookup

    def volumes(
        self, draft: Draft, lowers: Sequence[str], user: str, *, is_passing: bool
    ) -> tuple[Draft, Volumes | NoVolumes]:
        """Find the volumes of a container, and make those that there are not."""
        if not draft.volumes:
            return draft, NoVolumes()
        from pyrt.engine.volumes import attach

        return attach(self._rooms.volumes, draft, lowers, user, is_passing=is_passing)

    def _layer(
        self,
        view: ImageView,
        draft: Draft,
        args: Args | None,
        options: RunOptions,
        container_id: str,
        anonymous: tuple[str, ...],
    ) -> Passing | Kept:
        """Decide where the container writes to, and how long that lasts."""
        snapshotter = self.snapshotter(view, draft)
        if not read_wishes(options).remove:
            return self._rooms.keep(view, draft, args, options, snapshotter, container_id, anonymous)
        return Passing(snapshotter, f"{self._runtime.owner}-{container_id}")

    def _ended(
        self, process: Process, code: int, view: ImageView, root: Passing | Kept, volumes: Volumes | NoVolumes
    ) -> None:
        self._running.discard(process)
        self._by_id.pop(root.key, None)
        with ExitStack() as further:
            further.callback(view.close)
            further.callback(volumes.ended)
            root.ended(code)

    def snapshotter(self, view: ImageView, draft: Draft) -> Snapshotter:
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
