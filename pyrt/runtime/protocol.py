"""What a monitor and the engines say to each other, byte by byte (csrc/prt_monitor.h).

Takes values, gives packets; takes a container's directory, gives the MonitorState that its monitor keeps there.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag

__all__ = ["CHUNK_BYTES", "MAX_FDS", "Attach", "Message", "MonitorState", "Order", "Policy", "StartFlag", "pack_start"]

PACKET = struct.Struct("=IiQ")
START = struct.Struct("=QQ12I")
STATE = struct.Struct("=IIIiiiIIIIQQQ96s56xI4x")
REPORT = struct.Struct("=3Q")
MAGIC = 0x314D5250
CHUNK_BYTES = 32768
MAX_FDS = 253  # of one message (unix(7), SCM_MAX_FD)
_TRIES = 1000


class Order(IntEnum):
    START = 1
    ATTACH = 2
    INPUT = 3
    END_INPUT = 4
    SIGNAL = 5
    RESIZE = 6
    POLICY = 7
    PIDFD = 8
    PAUSED = 9


class Message(IntEnum):
    HELLO = 1
    STARTED = 2
    FAILED = 3
    OUTPUT = 4
    EXITED = 5
    DONE = 6
    HERE = 7


class Attach(IntFlag):
    STDIN = 1
    STDOUT = 2
    STDERR = 4
    STATUS = 8
    LOSSY = 16


class Policy(IntEnum):
    NO = 0
    ON_FAILURE = 1
    ALWAYS = 2
    UNLESS_STOPPED = 3


class StartFlag(IntFlag):
    TTY = 1
    STDIN = 2
    STDIN_ONCE = 4
    NO_LOG = 8


@dataclass(frozen=True, slots=True)
class MonitorState:
    """What a monitor has noted last; times are nanoseconds since 1970, 0 where it has not happened.

    `status` is starting, running, restarting, exited or failed; `pid` is that of the first process, 0 where none runs.
    """

    status: str
    monitor: int
    pid: int
    exit_code: int
    is_oom_killed: bool
    is_paused: bool
    is_stopped: bool
    restarts: int
    started_ns: int
    finished_ns: int
    lost_log_bytes: int
    cgroup: str

    @classmethod
    def read(cls, directory: str) -> MonitorState | None:
        """Read the state that is kept in a container's directory; None where no monitor has been so far."""
        try:
            fd = os.open(f"{directory}/state", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            for left in reversed(range(_TRIES)):  # it is written in place: what was caught in the middle is read again
                raw = os.pread(fd, STATE.size, 0)
                if len(raw) < STATE.size:
                    return None
                magic, sequence, status, *numbers, cgroup, end = STATE.unpack(raw)
                # at last also what a monitor has written whole that was killed before it could say so
                is_whole = (sequence == end and sequence % 2 == 0) or (not left and sequence % 2 == end - sequence == 1)
                if magic != MAGIC:
                    return None
                if is_whole:
                    monitor, pid, code, oom, paused, stopped, restarts, started, finished, lost = numbers
                    name = cgroup.partition(b"\0")[0].decode(errors="replace")
                    flags = (bool(oom), bool(paused), bool(stopped))
                    words = _STATUS.get(status, "failed")
                    return cls(words, monitor, pid, code, *flags, restarts, started, finished, lost, name)
            return None
        finally:
            os.close(fd)


_STATUS = {1: "starting", 2: "running", 3: "restarting", 4: "exited", 5: "failed"}


def pack_start(
    *,
    namespaces: int,
    log_bytes: int,
    log_files: int,
    flags: StartFlag,
    policy: Policy,
    retries: int,
    places: tuple[int, int, int, int, int, int, int],
    strings: tuple[bytes, bytes, bytes, bytes],
) -> bytes:
    """Give the body of a START; `places` are userns, cgroup, oom, first_join, join_count, first_base, base_count."""
    head = START.pack(namespaces, log_bytes, log_files, flags, policy, retries, *places, 0)
    return head + b"".join(each + b"\0" for each in strings)
