"""pyrt.files.sources: whose root it is that is opened."""

from __future__ import annotations

import os
import signal
from contextlib import closing

import pytest

from pyrt.errors import WrongState
from pyrt.files import process_root


def ended_child() -> tuple[int, int]:
    """Give the number of a process that has ended, and its pidfd."""
    pid = os.posix_spawn("/bin/true", ["true"], {})
    pidfd = os.pidfd_open(pid)
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    return pid, pidfd


def test_a_number_that_is_another_process_now_is_refused() -> None:
    _, pidfd = ended_child()
    try:
        with pytest.raises(WrongState, match="has ended"):
            process_root(os.getpid(), pidfd)
    finally:
        os.close(pidfd)


def test_a_process_that_has_ended_has_no_files() -> None:
    pid, pidfd = ended_child()
    try:
        with pytest.raises(WrongState, match="has ended"):
            process_root(pid, pidfd)
    finally:
        os.close(pidfd)


def test_the_root_is_that_of_the_process() -> None:
    pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    pidfd = os.pidfd_open(pid)
    try:
        with closing(process_root(pid, pidfd)) as root:
            assert os.path.samestat(root.stat("/"), os.stat("/"))
    finally:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)
