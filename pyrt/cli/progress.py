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


@contextmanager
def shown(*, quiet: bool = False, on_stderr: bool = False) -> Iterator[OnProgress]:
    """Give what shows progress, on stdout or on stderr, until the block is left."""
    stream = sys.stderr if on_stderr else sys.stdout
    if quiet:
        yield lambda event: None
    elif stream.isatty():
        with _bars(on_stderr) as bars:
            yield _Bars(bars)
    else:
        yield _Lines(on_stderr)


class _Lines:
    """A line where the status of a blob changes; how far it has come is for terminals."""

    def __init__(self, on_stderr: bool) -> None:
        self._on_stderr = on_stderr
        self._last: dict[str, str] = {}
        self._lock = threading.Lock()

    def __call__(self, event: Progress) -> None:
        with self._lock:
            if self._last.get(event.id) == event.status or event.status in ("Downloading", "Extracting", "Pushing"):
                return
            self._last[event.id] = event.status
            click.echo(f"{event.id}: {event.status}" if event.id else event.status, err=self._on_stderr)


class _Bars:
    """A bar for each blob."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def __call__(self, event: Progress) -> None:
        with self._lock:
            task = self._tasks.get(event.id)
            if task is None:
                task = self._tasks[event.id] = self._bars.add_task(event.id, total=None, status=event.status)
            if event.total_bytes is None:
                self._bars.update(task, status=event.status)
            else:
                self._bars.update(task, status=event.status, completed=event.current_bytes, total=event.total_bytes)


@contextmanager
def _bars(on_stderr: bool) -> Iterator[Bars]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}: {task.fields[status]:<18}"), BarColumn(), DownloadColumn())
    with Bars(*columns, console=Console(stderr=on_stderr)) as bars:
        yield bars
