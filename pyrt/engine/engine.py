"""The engine itself: runs programs in containers."""

from __future__ import annotations

import os
import subprocess
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, overload

from pyrt.engine.rooms import Rooms
from pyrt.errors import PyrtError
from pyrt.state import default_root, open_root

if TYPE_CHECKING:
    from pathlib import Path

    from pyrt.container import ContainerCollection, Result, RunOptions
    from pyrt.image import Image, ImageCollection
    from pyrt.registry import RegistryOptions
    from pyrt.runtime.process import Process
    from pyrt.runtime.stdio import Stream
    from pyrt.state import EventFilters, Following, Moment
    from pyrt.volume import VolumeCollection

__all__ = ["Engine"]

Args = Sequence[str | os.PathLike[str]]


class Engine:
    """Containers on one directory, `root`, which any number of engines and processes may share.

    `root` defaults to $PYRT_ROOT, then /var/lib/pyrt for root and ~/.local/share/pyrt for others; it is made where
    it is missing. `cgroup_parent` is the cgroup below which containers get theirs. Close an engine, or use it as a
    context manager: what still runs then is killed. It may be used by any number of threads. The first container that
    it starts clears what engines left whose process was killed.
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
        self._rooms = Rooms(self._root, registries, cgroup_parent, owner=self)
        if cgroup_parent is not None:  # said here where it is wrong; else nothing about containers is loaded so far
            _ = self._rooms.runtime
        self._owner = os.getpid()
        self._closed = False

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

    @property
    def volumes(self) -> VolumeCollection:
        """The volumes of this root: create, get, list, prune (see VolumeCollection)."""
        from pyrt.volume import VolumeCollection

        return VolumeCollection(self._rooms.volumes)

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
        from pyrt.container import Output, check_input, check_timeout, follow, text_mode

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
        from pyrt.container import read_wishes, text_mode

        mode = text_mode(text, encoding, errors)
        wishes = read_wishes(options)
        launcher = self._rooms.launcher
        view = self._rooms.views.open(image, pull=wishes.pull, platform=wishes.platform, on_progress=wishes.on_progress)
        return launcher.start(
            view, args, options, stdin=stdin, stdout=stdout, stderr=stderr, text=mode, bufsize=bufsize
        )

    @overload
    def events(
        self,
        since: Moment | None = None,
        until: Moment | None = None,
        filters: EventFilters | None = None,
        decode: Literal[True] = True,
    ) -> Following[dict[str, Any]]: ...

    @overload
    def events(
        self,
        since: Moment | None = None,
        until: Moment | None = None,
        filters: EventFilters | None = None,
        *,
        decode: Literal[False],
    ) -> Following[bytes]: ...

    def events(
        self,
        since: Moment | None = None,
        until: Moment | None = None,
        filters: EventFilters | None = None,
        decode: bool = True,
    ) -> Following[dict[str, Any]] | Following[bytes]:
        """Give what happens on this root, by whichever process, as docker's events: dicts, or lines of JSON.

        It goes on until `until`, or until it is closed, by any thread; what has been before comes first where `since`
        or `until` is given. These are a datetime, seconds since 1970, or a text ("10m" ago, RFC 3339). `filters` are
        container, event, image, label, network, scope, type and volume. Close it, or use it as a context manager.
        Raises InvalidOption.
        """
        events = self._rooms.events
        if decode:
            return events.follow_as(lambda event: event.attrs, since, until, filters)
        return events.follow_as(lambda event: event.line, since, until, filters)

    def close(self) -> None:
        """Kill what still runs, and free everything. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._owner == os.getpid():
            self._rooms.close()
        else:
            self._rooms.disown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._closed and self._owner == os.getpid():
            warnings.warn(f"the engine on {self._root} was not closed", ResourceWarning, source=self, stacklevel=2)
            self.close()
