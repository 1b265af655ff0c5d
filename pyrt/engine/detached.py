"""Containers that outlive their caller: made of a view and options, and started below a monitor."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from pyrt.container import (
    CreateOptions,
    KeptContainer,
    KeptStore,
    build,
    check_create,
    inherited,
    kept_config,
    new_container,
    options_from_document,
    options_to_document,
    parse_mount,
    run_options,
)
from pyrt.engine.launcher import make_sources
from pyrt.errors import CommandError, ContainerNotFound, IntegrityError, PyrtError, Unsupported, WrongState
from pyrt.oci.image import config_from_json, config_to_json
from pyrt.runtime.bundle import Bundle
from pyrt.runtime.link import Link
from pyrt.runtime.monitor import Keep
from pyrt.runtime.protocol import Policy, StartFlag
from pyrt.snapshot import Merged, Overlay

if TYPE_CHECKING:
    from pyrt.container import Draft, RunOptions
    from pyrt.engine.launcher import Launcher
    from pyrt.image import ImageView
    from pyrt.layer import Root
    from pyrt.oci.config import ImageConfig
    from pyrt.runtime.exec import Executor
    from pyrt.runtime.runtime import Runtime
    from pyrt.snapshot import Snapshotter, Uppers

__all__ = ["Detached", "check_keepable"]

Args = Sequence[str | os.PathLike[str]]
_POLICIES = {
    "no": Policy.NO,
    "on-failure": Policy.ON_FAILURE,
    "always": Policy.ALWAYS,
    "unless-stopped": Policy.UNLESS_STOPPED,
}


class Detached:
    """Makes and starts the containers of a root that monitors keep."""

    def __init__(
        self, store: KeptStore, uppers: Callable[[bool], Uppers], launcher: Launcher, runtime: Runtime
    ) -> None:
        self._store = store
        self._uppers = uppers
        self._launcher = launcher
        self._runtime = runtime

    def create(self, view: ImageView, args: Args | None, options: CreateOptions) -> KeptContainer:
        """Make a container without starting it. Raises what a run raises before its start, and NameInUse."""
        check_create(options)
        container_id = os.urandom(32).hex()
        with closing(view), ExitStack() as undo:
            asked = run_options(options)
            draft = self._launcher.draft(view, args, asked, container_id)
            in_userns = check_keepable(view, self._launcher.snapshotter(view, draft))
            name, lowers = options.get("name") or container_id[:12], view.lowers(user_namespace=in_userns)
            draft, volumes = self._launcher.volumes(draft, lowers, name, is_passing=False)
            undo.callback(volumes.undo)
            record = describe(view, draft, args, options, container_id, in_userns, volumes.anonymous)
            self._make(record)
            undo.pop_all()
            volumes.ended()
        return record

    def _make(self, record: KeptContainer) -> None:
        """Make its directory, then its record: a crash between the two leaves what KeptStore.clear removes."""
        uppers = self._uppers(record.in_user_namespace)
        with self._store.reserve(record.id) as lock:
            try:
                uppers.prepare(record.id, record.lowers)
                self._store.record(record)
            except BaseException:
                uppers.remove(record.id)
                lock.unlink()
                raise

    def start(self, record: KeptContainer, before: Callable[[Link], None] = lambda link: None) -> Link:
        """Start a container that does not run; give the connection to its monitor.

        Raises WrongState, and what a run raises at its start; the record notes why it failed.
        """
        lock = self._store.borrow(record)
        try:
            record = self._store.find(record.id)
            with self._bundle(record) as (bundle, draft):
                keep = self._keep(record, lock.fileno())
                link, _ = self._runtime.keep(bundle, keep, profile=draft.seccomp, before=before)
        except BaseException as error:
            with lock:  # held meanwhile, for who starts it next has another outcome to note
                if isinstance(error, PyrtError):
                    self._note(record, str(error), error.exit_code if isinstance(error, CommandError) else None)
            raise
        lock.hand_over()
        if record.has_run or record.error:
            self._note(record, "", None)
        return link

    def _note(self, record: KeptContainer, error: str, exit_code: int | None) -> None:
        with suppress(ContainerNotFound):  # one that goes at its end may have gone
            self._store.change(record.id, lambda now: replace(now, error=error, exit_code=exit_code, has_run=False))

    def executor(self, record: KeptContainer) -> Executor:
        """Give what starts further programs in a container."""
        draft = self._draft(record)
        options = run_options(options_from_document(record.options))
        return self._launcher.executor(base_config(record), options, draft)

    def open_root(self, record: KeptContainer) -> Root | None:
        """Give the files of a container that runs; None where it has ended."""
        from pyrt.files import process_root

        try:
            with Link.connect(self._store.directory(record), record.name) as link:
                pid, pidfd = link.pidfd()
            try:
                return process_root(pid, pidfd)
            finally:
                os.close(pidfd)
        except WrongState:
            return None

    @contextmanager
    def _bundle(self, record: KeptContainer) -> Iterator[tuple[Bundle, Draft]]:
        """Put a container together; its volumes are held until it has started, and is seen to use them itself."""
        draft, volumes = self._launcher.volumes(self._draft(record), record.lowers, record.name, is_passing=False)
        try:
            make_sources(draft.created_sources)
            uppers = self._uppers(record.in_user_namespace)
            yield draft.bundle((uppers.mount(record.id, record.lowers),)), draft
        finally:
            volumes.ended()

    def _draft(self, record: KeptContainer) -> Draft:
        options = options_from_document(record.options)
        uppers = self._uppers(record.in_user_namespace)
        if not os.path.isdir(uppers.upper(record.id)):
            if not record.has_run or os.path.isdir(self._store.directory(record)):
                reason = f"there is no {uppers.upper(record.id)}"
                raise IntegrityError(f"what container {record.name} has written is gone, {reason}: remove it")
            uppers.prepare(record.id, record.lowers)  # who was to run it was killed before
        root = Merged((uppers.upper(record.id), *record.lowers))
        return build(
            base_config(record),
            record.words,
            run_options(options),
            self._launcher.facts,
            self._launcher.lookup(root),
            container_id=record.id,
            inherited=inherited(record.mounts, read_only=False),
        )

    def _keep(self, record: KeptContainer, lock: int) -> Keep:
        options = options_from_document(record.options)
        policy, log = check_create(options)
        flags = StartFlag.TTY if options.get("tty") else StartFlag(0)
        if options.get("stdin_open"):
            flags |= StartFlag.STDIN
        if options.get("stdin_once"):
            flags |= StartFlag.STDIN_ONCE
        if log.driver == "none":
            flags |= StartFlag.NO_LOG
        attributes = {"image": record.image, "name": record.name, **record.labels}
        return Keep(
            self._store.directory(record),
            lock,
            record.id,
            record.name,
            json.dumps(attributes, separators=(",", ":"))[1:-1].encode(),
            flags,
            _POLICIES[policy.name],
            policy.retries,
            log.max_bytes,
            log.max_files,
        )


def placed(options: RunOptions | CreateOptions) -> CreateOptions:
    """Give the options without the binds and volumes, which are found by now, and in the record with their names."""
    found = {name: value for name, value in options.items() if name not in ("volumes", "volumes_from")}
    mounts = [parse_mount(each) if isinstance(each, str) else each for each in options.get("mounts") or ()]
    found["mounts"] = [each for each in mounts if each.type == "tmpfs"]
    return cast(CreateOptions, found)


def base_config(record: KeptContainer) -> ImageConfig:
    """Give the configuration of a container's image. Raises Unsupported."""
    if record.base is None:
        raise Unsupported(f"a start of container {record.name}", "an older pyrt made it: make another")
    return config_from_json(record.base)


def describe(
    view: ImageView,
    draft: Draft,
    args: Args | None,
    options: RunOptions | CreateOptions,
    container_id: str,
    in_user_namespace: bool,
    anonymous: tuple[str, ...],
    *,
    has_run: bool = False,
) -> KeptContainer:
    """Give the record of a container of now, of a draft whose volumes were found."""
    return new_container(
        container_id,
        options.get("name"),
        image=view.name,
        image_id=view.image_id,
        layers=tuple(map(str, view.chain)),
        lowers=view.lowers(user_namespace=in_user_namespace),
        settings=kept_config(view.config, args, options),
        args=draft.spec.process.args,
        in_user_namespace=in_user_namespace,
        base=config_to_json(view.config),
        words=None if args is None else tuple(os.fspath(each) for each in args),
        options=options_to_document(placed(options)),
        mounts=draft.passed_on,
        anonymous=anonymous,
        has_run=has_run,
    )


def check_keepable(view: ImageView, snapshotter: Snapshotter) -> bool:
    """Say whether what a container writes is kept with the attributes of user namespaces. Raises Unsupported."""
    lacks = ""
    if view.is_host:
        lacks = f"{view.name} is the whole machine; it needs an image of its own"
    elif not isinstance(snapshotter, Overlay):
        lacks = "it needs an overlay, and this host gives none here"
    elif snapshotter.user_namespace and os.geteuid() == 0:
        lacks = "in a user namespace of root's its files would have other owners than its image's"
    if lacks:
        raise Unsupported("a container that is kept", lacks)
    assert isinstance(snapshotter, Overlay)
    return snapshotter.user_namespace
