"""One container that is kept, under docker-py's names."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, Unpack, overload

from pyrt.container import life
from pyrt.container.attach import Attachment, resize, started, wanted
from pyrt.container.condition import Condition
from pyrt.container.create_options import check_create
from pyrt.container.documents import options_from_document
from pyrt.container.files import Files, open_root
from pyrt.container.keeping import Keeping
from pyrt.container.processes import pids
from pyrt.container.record import KeptContainer
from pyrt.container.wishes import read_name
from pyrt.errors import ContainerNotFound, Unsupported, WrongState
from pyrt.runtime.exec import Target
from pyrt.runtime.joinable import Joinable
from pyrt.runtime.process import Process

if TYPE_CHECKING:
    from pyrt.container.logs import LogLine, LogOptions
    from pyrt.container.update import Limits
    from pyrt.layer import Change, Root
    from pyrt.runtime.cgroups import Usage
    from pyrt.state import Following, Moment

__all__ = ["Container"]

ImageT = TypeVar("ImageT", covariant=True)


class Container(Files, Joinable, Generic[ImageT]):
    """One container, of whichever process made it. Its properties are asked anew each time, but for its name's."""

    def __init__(self, keeping: Keeping[ImageT], kept: KeptContainer) -> None:
        super().__init__()
        self._keeping = keeping
        self._kept = kept
        self.allow_exec(lambda: keeping.launching.executor(self._kept))

    @property
    def id(self) -> str:
        """64 hexadecimal digits."""
        return self._kept.id

    @property
    def short_id(self) -> str:
        """The first twelve digits of the id."""
        return self._kept.id[:12]

    @property
    def name(self) -> str:
        """The name that it was given, or the beginning of its id."""
        return self._kept.name

    @property
    def image(self) -> str:
        """The image's name, as it was asked for."""
        return self._kept.image

    @property
    def command(self) -> tuple[str, ...]:
        """The program and its arguments."""
        return self._kept.args

    @property
    def created_ns(self) -> int:
        """When it was made, in nanoseconds since 1970."""
        return self._kept.created_ns

    @property
    def condition(self) -> Condition:
        """How it is at this moment: its status, exit code, times, and why it could not be started."""
        return life.condition(self._keeping, self._kept)

    @property
    def status(self) -> str:
        """ "created", "running", "paused", "restarting" or "exited"."""
        return self.condition.status

    @property
    def exit_code(self) -> int | None:
        """How its program ended, 128+n after signal n; None while it runs, and where its owner was killed with it."""
        return self.condition.exit_code

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of its image, and its own."""
        return self._kept.labels

    @property
    def attrs(self) -> dict[str, Any]:
        """All that is known of it, under the names of Docker's `inspect`."""
        from pyrt.container.inspect import inspect

        return inspect(self._kept, self.condition, self._keeping.store.directory(self._kept))

    def reload(self) -> None:
        """Read its record anew. Raises ContainerNotFound."""
        self._kept = self._keeping.store.find(self.id)

    @overload
    def start(self, *, attach: Literal[False] = False) -> None: ...

    @overload
    def start(self, *, attach: Literal[True], stdin: bool = False) -> Attachment: ...

    def start(self, *, attach: bool = False, stdin: bool = False) -> Attachment | None:
        """Start it; one that runs already stays as it is. Raises WrongState where it is paused, CommandError, …

        `attach` gives an Attachment that was there before the program, and so has all of its output; with `stdin` the
        program's standard input ends with it where the container was made so (stdin_once).
        """
        attachment = started(self._keeping, self._kept, wanted(self._kept, stdin, True, True) if attach else None)
        with suppress(ContainerNotFound):  # it has ended, and was to go then
            self.reload()
        return attachment

    def stop(self, timeout: float | None = None, *, signal: str | int | None = None) -> None:
        """Send the stop signal, and kill it after `timeout` seconds (default: as it was made, then 10; -1: never).

        `signal` is another than the container's own.
        """
        life.stop(self._keeping, self._kept, timeout, signal)

    def kill(self, signal: str | int = "SIGKILL") -> None:
        """Send a signal to its first process. Raises WrongState where it does not run."""
        life.kill(self._keeping, self._kept, signal)

    def restart(self, timeout: float | None = None, *, signal: str | int | None = None) -> None:
        """Stop it as `stop` does, and start it again."""
        life.stop(self._keeping, self._kept, timeout, signal)
        self.start()
        self._keeping.emit("restart", self._kept, {})

    def pause(self) -> None:
        """Freeze all of its processes. Raises WrongState where it is not running."""
        life.pause(self._keeping, self._kept)

    def unpause(self) -> None:
        """Let all of its processes go on. Raises WrongState where it is not paused."""
        life.unpause(self._keeping, self._kept)

    def wait(self, timeout: float | None = None, condition: life.Waited = "not-running") -> dict[str, Any]:
        """Wait for its end and give {"StatusCode": …}, as docker-py does.

        `condition` is "not-running", "next-exit" or "removed". Raises TimeoutError after `timeout` seconds.
        """
        code = life.wait(self._keeping, self._kept, timeout, condition)
        if code is None:
            raise TimeoutError(f"container {self.name} did not end in {timeout:g} seconds")
        return {"StatusCode": code}

    def rename(self, name: str) -> None:
        """Give it another name. Raises NameInUse, InvalidOption."""
        name = read_name(name)
        self._kept = self._keeping.store.change(self.id, lambda now: replace(now, name=name))
        self._keeping.emit("rename", self._kept, {})

    def update(self, *, restart_policy: str | Mapping[str, str | int] | None = None, **limits: Unpack[Limits]) -> None:
        """Change its restart policy and its limits, all or none, at once and for later starts.

        What is None stays as it is; see Limits. Raises InvalidOption, and Unsupported for what this host cannot give.
        """
        from pyrt.container.update import update

        self._kept = update(self._keeping, self._kept, restart_policy, limits)

    def usage(self) -> Usage:
        """Give what it has used since its start. Raises WrongState where it does not run."""
        with life.cgroup(self._keeping, self._kept, self.condition) as running:
            return running.usage()

    def pids(self) -> list[int]:
        """Give its processes, as the host numbers them. Raises WrongState where it does not run."""
        return pids(self._keeping, self._kept)

    @overload
    def logs(self, *, stream: Literal[False] = False, **options: Unpack[LogOptions]) -> bytes: ...

    @overload
    def logs(self, *, stream: Literal[True], **options: Unpack[LogOptions]) -> Iterator[bytes]: ...

    def logs(self, *, stream: bool = False, **options: Unpack[LogOptions]) -> bytes | Iterator[bytes]:
        """Give what it has written: all of it, or with `stream` line by line.

        `tail` is how many of the last lines, "all" or a number. `since` and `until` are datetimes, seconds since 1970,
        or text as `docker logs` takes it. `follow` (default: as `stream`) goes on until it has ended; an iterator that
        does may be closed. Raises InvalidOption.
        """
        from pyrt.container.logs import printed_logs

        directory = self._log_directory()
        return printed_logs(directory, ended=self._has_ended, stream=stream, **options)

    def log_lines(
        self,
        *,
        stdout: bool = True,
        stderr: bool = True,
        tail: int | str = "all",
        since: Moment | None = None,
        until: Moment | None = None,
        follow: bool = False,
    ) -> Generator[LogLine, None, None] | Following[LogLine]:
        """Give the lines of its log, each with its stream and time; the arguments are those of `logs`. Close it."""
        from pyrt.container.logs import follow_logs, read_logs

        directory = self._log_directory()
        if not follow:
            return read_logs(directory, stdout=stdout, stderr=stderr, since=since, until=until, tail=tail)
        return follow_logs(
            directory, ended=self._has_ended, stdout=stdout, stderr=stderr, since=since, until=until, tail=tail
        )

    def top(self, ps_args: str | None = None) -> dict[str, Any]:
        """Give {"Titles": […], "Processes": [[…], …]} of its processes, as the host numbers them.

        `ps_args` is -ef (the default), aux, or -o with columns of ps(1). Raises WrongState where it does not run.
        """
        from pyrt.container.top import top

        return top(self.pids(), ps_args)

    @overload
    def stats(self, *, stream: Literal[True] = True) -> Iterator[dict[str, Any]]: ...

    @overload
    def stats(self, *, stream: Literal[False]) -> dict[str, Any]: ...

    def stats(self, *, stream: bool = True) -> Iterator[dict[str, Any]] | dict[str, Any]:
        """Give what it uses, in Docker's dictionary: a sample each second until its end, or one at once.

        A first sample has no `precpu_stats`, for there is none before it. Raises WrongState where it does not run.
        """
        from pyrt.container.stats import follow_stats, sample

        return follow_stats(lambda: sample(self._keeping, self._kept)) if stream else sample(self._keeping, self._kept)

    def attach(self, *, stdin: bool = False, stdout: bool = True, stderr: bool = True) -> Attachment:
        """Take part in its streams from now on. Raises WrongState where it does not run."""
        return Attachment(life.connect(self._keeping, self._kept), wanted(self._kept, stdin, stdout, stderr))

    def resize(self, height: int, width: int) -> None:
        """Change the size of its terminal. Raises WrongState where it has none or does not run."""
        with life.connect(self._keeping, self._kept) as link:
            resize(link, height, width)

    def diff(self) -> tuple[Change, ...]:
        """Give what its program has changed: kind A (added), C (changed), D (deleted), and the path."""
        return self._keeping.trees.changes(self._upper(), self._kept.lowers)

    def export(self) -> Iterator[bytes]:
        """Give all of its files as a tar, in pieces. Raises Unsupported on a host without overlays."""
        return self._keeping.trees.write_merged((self._upper(), *self._kept.lowers))

    def commit(
        self,
        repository: str | None = None,
        tag: str | None = None,
        *,
        message: str = "",
        author: str = "",
        changes: Sequence[str] = (),
        pause: bool = True,
    ) -> ImageT:
        """Make an image of its image and what its program has written; `changes` are a Dockerfile's instructions.

        It is paused meanwhile where it runs, unless `pause` is False. Raises ImageNotFound where its image was
        removed, WrongState where another program runs it, InvalidOption.
        """
        if self._kept.image_id is None:
            reason = f"it was made of {self.image}, which is no image of the store; export it, and import that"
            raise Unsupported(f"commit of container {self.name}", reason)
        keeping = self._keeping

        def make() -> ImageT:
            upper = keeping.trees.write(self._upper())
            return keeping.commit(self._kept, upper, repository, tag, message=message, author=author, changes=changes)

        if self.condition.status == "running" and not self._kept.has_run:
            if not pause:
                return make()
            life.pause(keeping, self._kept)
            try:
                return make()
            finally:
                life.unpause(keeping, self._kept)
        if self.condition.status == "paused":
            return make()
        with keeping.store.borrow(self._kept):
            return make()

    def remove(self, *, force: bool = False, v: bool = False) -> None:
        """Remove it with all that it has written; `force` kills it first, `v` removes the volumes made for it too.

        One of these that another container uses stays. Raises WrongState while it runs.
        """
        life.remove(self._keeping, self._kept, force=force, volumes=v)

    @property
    def has_tty(self) -> bool:
        """Whether its program has a terminal."""
        return bool(options_from_document(self._kept.options).get("tty"))

    @contextmanager
    def _target(self) -> Iterator[Target]:
        now = self.condition
        if now.status == "paused":
            raise WrongState(f"container {self.name} is paused: unpause it", have="paused", want="running")
        with life.connect(self._keeping, self._kept) as link:
            pid, pidfd = link.pidfd()
        try:
            with closing(self._keeping.launching.cgroup(now.cgroup, required=False)) as cgroup:
                yield Target(pid, pidfd, cgroup)
        finally:
            os.close(pidfd)

    def _note_exec(self, made: Process) -> None:
        self._keeping.emit("exec_start", self._kept, {"execID": f"{made.pid}"})

    def _open_root(self) -> Root:
        return open_root(self._keeping, self._kept)

    def _log_directory(self) -> str:
        """Give where its log is, whose rotated files are compressed where that was asked for."""
        from pyrt.container.log_compression import compress_rotated

        directory = self._keeping.store.directory(self._kept)
        if check_create(options_from_document(self._kept.options))[1].compresses:
            compress_rotated(directory)
        return directory

    def _has_ended(self) -> bool:
        return not self.condition.is_running

    def _upper(self) -> str:
        return self._keeping.uppers.upper(self.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Container) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<Container: {self.name}>"
