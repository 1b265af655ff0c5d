"""The log of a detached container, which its monitor writes: `log` in its directory, and older files `log.1` and so on.

Takes the directory and docker-py's options, gives LogLine or what `docker logs` prints. Raises InvalidOption.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self, TypedDict, TypeVar

from pyrt.container.log_lines import LogLine, parse_block
from pyrt.errors import InvalidOption
from pyrt.state import Following, Journal, JournalFile, Moment, parse_moment, stamp

__all__ = ["LogLine", "LogOptions", "follow_logs", "log_bytes", "printed_logs", "read_logs"]

LOG, STATE = "log", "state"
T = TypeVar("T")


class LogOptions(TypedDict, total=False):
    """Which lines of a log are asked for, and how: see Container.logs."""

    stdout: bool
    stderr: bool
    timestamps: bool
    tail: int | str
    since: Moment | None
    until: Moment | None
    follow: bool | None


def read_logs(
    directory: str | os.PathLike[str],
    *,
    stdout: bool = True,
    stderr: bool = True,
    since: Moment | None = None,
    until: Moment | None = None,
    tail: int | str = "all",
) -> Generator[LogLine, None, None]:
    """Give the lines of a container's log, the oldest first, up to what is there at the call of the first.

    `tail` is how many of the last lines to look at, "all" or a negative number for all; of these the others choose, as
    in docker. `since` and `until` are compared with each line's own time: see parse_moment. Raises InvalidOption.
    """
    choice = _Choice.read(stdout, stderr, since, until, tail)
    return (line for lines in _blocks(directory, choice) for line in lines)


def follow_logs(
    directory: str | os.PathLike[str],
    *,
    ended: Callable[[], bool],
    stdout: bool = True,
    stderr: bool = True,
    since: Moment | None = None,
    until: Moment | None = None,
    tail: int | str = "all",
) -> Following[LogLine]:
    """Give the lines of a container's log, and those that come until `ended` says that none will; or at `until`.

    `ended` is asked when the log or the container's state changes, and once a second. Close what this gives, or use it
    as a context manager; another thread may close it too. Raises InvalidOption, SyscallError.
    """
    choice = _Choice.read(stdout, stderr, since, until, tail)
    return _follow(directory, ended, choice, lambda lines: lines)


def log_bytes(lines: Iterable[LogLine], timestamps: bool = False) -> Iterator[bytes]:
    """Give what `docker logs` prints of lines, each with its time before it where `timestamps` are asked for."""
    if timestamps:
        return (b"%b %b" % (line.stamp, line.text) for line in lines)
    return (line.text for line in lines)


def printed_logs(
    directory: str | os.PathLike[str],
    *,
    ended: Callable[[], bool],
    stdout: bool = True,
    stderr: bool = True,
    stream: bool = False,
    timestamps: bool = False,
    tail: int | str = "all",
    since: Moment | None = None,
    until: Moment | None = None,
    follow: bool | None = None,
) -> bytes | Iterator[bytes]:
    """Give a container's log as docker-py's `Container.logs` does: bytes, or with `stream` line by line.

    `follow` waits for more until `ended` says that none will come; without a word it is what `stream` is. An iterator
    that follows ends also when it is closed. Raises InvalidOption.
    """
    choice = _Choice.read(stdout, stderr, since, until, tail)
    if stream if follow is None else follow:
        following = _follow(directory, ended, choice, lambda lines: log_bytes(lines, timestamps))
        return following if stream else b"".join(following)
    if stream:
        return (text for lines in _blocks(directory, choice) for text in log_bytes(lines, timestamps))
    return b"".join(b"".join(log_bytes(lines, timestamps)) for lines in _blocks(directory, choice))


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which lines are asked for; times as they stand in the log, None for any."""

    streams: frozenset[str]
    since: bytes | None
    until: bytes | None
    until_ns: int | None
    tail: int | None

    @classmethod
    def read(cls, stdout: bool, stderr: bool, since: Moment | None, until: Moment | None, tail: int | str) -> Self:
        since_ns = None if since is None else parse_moment(since, "since")
        until_ns = None if until is None else parse_moment(until, "until")
        return cls(
            frozenset(name for name, wanted in (("stdout", stdout), ("stderr", stderr)) if wanted),
            None if since_ns is None else stamp(since_ns).encode(),
            None if until_ns is None else stamp(until_ns).encode(),
            until_ns,
            _tail(tail),
        )

    def start(self, journal: Journal) -> int:
        """Have a journal begin where the tail does; give how many lines to leave out from there."""
        if self.tail is None:
            return 0
        have = 0
        for at in range(len(journal.files) - 1, -1, -1) if self.tail else ():
            file = journal.files[at]
            for offset, count in _counts(file):
                have += count
                if have >= self.tail:
                    file.skip(offset)
                    journal.drop(at)
                    return have - self.tail
        if self.tail == 0:
            journal.skip_all()
        return 0

    def of(self, lines: Sequence[LogLine]) -> Sequence[LogLine]:
        """Give those of some lines that are asked for."""
        since, until, streams = self.since, self.until, self.streams
        if len(streams) < 2:
            lines = [line for line in lines if line.stream in streams]
        if since is not None:
            lines = [line for line in lines if line.stamp >= since]
        if until is not None:
            lines = [line for line in lines if line.stamp <= until]
        return lines


def _tail(value: int | str) -> int | None:
    if value == "all":
        return None
    try:
        count = int(value)
    except (TypeError, ValueError) as e:
        raise InvalidOption(f"{value!r} is no number of lines: give one, or 'all'", argument="tail") from e
    return count if count >= 0 else None


def _counts(file: JournalFile) -> Iterator[tuple[int, int]]:
    """Give offsets of a file, the last first, and how many lines there are from each to the one before."""
    if not file.compressed:
        yield from ((offset, len(parse_block(block))) for offset, block in file.backwards())
        return
    count = sum(len(parse_block(block)) for block in file.blocks())
    file.rewind()
    yield 0, count


def _blocks(directory: str | os.PathLike[str], choice: _Choice) -> Iterator[Sequence[LogLine]]:
    with Journal(os.path.join(directory, LOG)) as journal:
        left_out = choice.start(journal)
        for block in journal.present():
            lines = parse_block(block)
            yield choice.of(lines[left_out:] if left_out else lines)
            left_out = max(0, left_out - len(lines))


def _follow(
    directory: str | os.PathLike[str],
    ended: Callable[[], bool],
    choice: _Choice,
    give: Callable[[Sequence[LogLine]], Iterable[T]],
) -> Following[T]:
    left_out = 0

    def start(journal: Journal) -> None:
        nonlocal left_out
        left_out = choice.start(journal)

    def parse(block: bytes) -> Iterable[T]:
        nonlocal left_out
        lines = parse_block(block)
        wanted = choice.of(lines[left_out:] if left_out else lines)
        left_out = max(0, left_out - len(lines))
        return give(wanted)

    path = os.path.join(directory, LOG)
    return Following(path, parse, start=start, ended=ended, names=(STATE,), until_ns=choice.until_ns)
