"""Shows how an image comes along: bars on a terminal, a line for each step elsewhere, as docker does."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from pyrt.image import OnProgress, Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

__all__ = ["shown"]

_MOVING = frozenset({"Copying", "Downloading", "Extracting", "Pushing"})  # how far is for terminals


@contextmanager
def shown(heading: str = "", *, quiet: bool = False, on_stderr: bool = False) -> Iterator[OnProgress]:
    """Give what shows progress, on stdout or on stderr, until the block is left.

    `heading` is a line before the first step, or at the end where there was none. When the block is left by an
    exception it is not shown.
    """
    stream = sys.stderr if on_stderr else sys.stdout
    if quiet:
        yield lambda event: None
    elif stream.isatty():
        with _bars(on_stderr) as bars:
            shows: _Lines = _Shown(heading, on_stderr, bars)
            yield shows
            shows.begin()
    else:
        shows = _Lines(heading, on_stderr)
        yield shows
        shows.begin()


class _Lines:
    """A line where the status of a blob changes."""

    def __init__(self, heading: str, on_stderr: bool) -> None:
        self._heading = heading
        self._on_stderr = on_stderr
        self._last: dict[str, str] = {}
        self._lock = threading.Lock()

    def __call__(self, event: Progress) -> None:
        with self._lock:
            self.begin()
            if event.id:
                self._show(event)
            else:
                self._say(event.status)

    def begin(self) -> None:
        """Write the heading, once."""
        heading, self._heading = self._heading, ""
        if heading:
            self._say(heading)

    def _show(self, event: Progress) -> None:
        if self._last.get(event.id) != event.status and event.status not in _MOVING:
            self._last[event.id] = event.status
            self._say(f"{event.id}: {event.status}")

    def _say(self, line: str) -> None:
        click.echo(line, err=self._on_stderr)


class _Shown(_Lines):
    """A bar for each blob, below the lines."""

    def __init__(self, heading: str, on_stderr: bool, bars: Bars) -> None:
        super().__init__(heading, on_stderr)
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def _show(self, event: Progress) -> None:
        task = self._tasks.get(event.id)
        if task is None:
            task = self._tasks[event.id] = self._bars.add_task(event.id, total=None, status=event.status)
        if event.total_bytes is None:
            self._bars.update(task, status=event.status)
        else:
            self._bars.update(task, status=event.status, completed=event.current_bytes, total=event.total_bytes)

    def _say(self, line: str) -> None:
        self._bars.console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _bars(on_stderr: bool) -> Iterator[Bars]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}: {task.fields[status]:<18}"), BarColumn(), DownloadColumn())
    with Bars(*columns, console=Console(stderr=on_stderr)) as bars:
        yield bars
