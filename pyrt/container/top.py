"""The processes of a container, as ps(1) lists them: read from /proc as the host sees them (proc(5))."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pyrt.errors import InvalidOption

__all__ = ["top"]

_FULL = ("uid", "pid", "ppid", "c", "stime", "tty", "time", "cmd")
_USAGE = ("user", "pid", "%cpu", "%mem", "vsz", "rss", "tty", "stat", "stime", "time", "command")
_FORMS = {"-ef": _FULL, "aux": _USAGE, "-aux": _USAGE}
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
_TERMINALS = range(136, 144)  # major numbers of /dev/pts
_DAY = 86400


@dataclass(frozen=True, slots=True)
class _Process:
    """One process; `ticks` is what it has used of processors, `began` when it started, in seconds since 1970."""

    pid: int
    parent: int
    state: str
    name: str
    owner: int
    terminal: int
    ticks: int
    began: float
    threads: int
    size_kib: int
    resident_kib: int
    words: str

    @property
    def percent(self) -> float:
        """What it has used of one processor since its start."""
        elapsed = time.time() - self.began
        return 0.0 if elapsed <= 0 else self.ticks / _TICKS / elapsed * 100


def top(pids: Iterable[int], ps_args: str | None = None) -> dict[str, Any]:
    """Give {"Titles": […], "Processes": [[…], …]}; `ps_args` are as for ps(1): -ef (default), aux, or -o COLUMN,….

    Raises InvalidOption for other arguments.
    """
    columns = _columns((ps_args or "-ef").split())
    found = [process for pid in sorted(pids) if (process := _read(pid)) is not None]
    rows = [[_COLUMNS[each][1](process) for each in columns] for process in found]
    return {"Titles": [_COLUMNS[each][0] for each in columns], "Processes": rows}


def _columns(words: Sequence[str]) -> Sequence[str]:
    if len(words) == 1 and words[0] in _FORMS:
        return _FORMS[words[0]]
    first, _, attached = words[0].partition("o")
    names = ",".join([attached, *words[1:]]).strip(",").split(",") if first in ("-", "-e") else []
    if not names or (unknown := next((each for each in names if each not in _COLUMNS), None)):
        reason = f"there is no column {unknown!r}" if names else f"{' '.join(words)!r} is not known"
        known = ", ".join(sorted(_COLUMNS))
        raise InvalidOption(f"{reason}: write -ef, aux, or -o with some of {known}", argument="ps_args")
    return names


def _read(pid: int) -> _Process | None:
    """Read what the kernel says of a process; None where it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            head, _, rest = file.read().rpartition(b")")
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read()
        owner = os.stat(f"/proc/{pid}").st_uid
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = rest.split()
    name = _plain(head.partition(b"(")[2])
    uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
    return _Process(
        pid=pid,
        parent=int(fields[1]),
        state=fields[0].decode(),
        name=name,
        owner=owner,
        terminal=int(fields[4]),
        ticks=int(fields[11]) + int(fields[12]),
        began=time.time() - uptime + int(fields[19]) / _TICKS,
        threads=int(fields[17]),
        size_kib=int(fields[20]) // 1024,
        resident_kib=int(fields[21]) * _PAGE_KIB,
        words=_plain(words.rstrip(b"\0").replace(b"\0", b" ")) or f"[{name}]",
    )


def _plain(text: bytes) -> str:
    """Give text that no terminal obeys, with ps's question marks."""
    return "".join(each if each.isprintable() else "?" for each in text.decode("utf-8", "replace"))


def _user(process: _Process) -> str:
    try:
        name = pwd.getpwuid(process.owner).pw_name
    except KeyError:
        return str(process.owner)
    return name if len(name) <= 8 else f"{name[:7]}+"


def _tty(process: _Process) -> str:
    """Name the terminal by its number (ioctl_tty(2) has none; the kernel's new_encode_dev)."""
    major, minor = process.terminal >> 8 & 0xFFF, (process.terminal & 0xFF) | (process.terminal >> 12 & 0xFFF00)
    return f"pts/{minor}" if major in _TERMINALS else "?"


def _began(process: _Process) -> str:
    moment, now = time.localtime(process.began), time.localtime()
    if time.time() - process.began < _DAY and moment.tm_yday == now.tm_yday:
        return time.strftime("%H:%M", moment)
    return time.strftime("%b%d" if moment.tm_year == now.tm_year else "%Y", moment)


def _time(process: _Process) -> str:
    minutes, seconds = divmod(process.ticks // _TICKS, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{f'{days}-' if days else ''}{hours:02}:{minutes:02}:{seconds:02}"


def _of_memory(process: _Process) -> str:
    total = os.sysconf("SC_PHYS_PAGES") * _PAGE_KIB
    return f"{process.resident_kib / total * 100:.1f}"


_COLUMNS: dict[str, tuple[str, Callable[[_Process], str]]] = {
    "%cpu": ("%CPU", lambda process: f"{process.percent:.1f}"),
    "%mem": ("%MEM", _of_memory),
    "args": ("COMMAND", lambda process: process.words),
    "c": ("C", lambda process: str(int(process.percent))),
    "cmd": ("CMD", lambda process: process.words),
    "comm": ("COMMAND", lambda process: process.name),
    "command": ("COMMAND", lambda process: process.words),
    "nlwp": ("NLWP", lambda process: str(process.threads)),
    "pid": ("PID", lambda process: str(process.pid)),
    "ppid": ("PPID", lambda process: str(process.parent)),
    "rss": ("RSS", lambda process: str(process.resident_kib)),
    "stat": ("STAT", lambda process: process.state),
    "stime": ("STIME", _began),
    "time": ("TIME", _time),
    "tty": ("TTY", _tty),
    "uid": ("UID", _user),
    "user": ("USER", _user),
    "vsz": ("VSZ", lambda process: str(process.size_kib)),
}
