"""Signals that are caught and taken later."""

from __future__ import annotations

import os
import select
import signal

import pytest

from pyrt.cli.signals import Inbox


def test_signals_come_in_order_and_as_often_as_they_were_sent() -> None:
    with Inbox() as inbox:
        assert inbox.take() == b""
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGUSR1):
            signal.raise_signal(number)

        assert select.select([inbox], [], [], 5)[0] == [inbox]
        assert list(inbox.take()) == [signal.SIGUSR1, signal.SIGTERM, signal.SIGUSR1]


def test_handlers_are_as_before_when_it_is_left() -> None:
    numbers = range(1, signal.SIGRTMAX + 1)
    before = {number: signal.getsignal(number) for number in numbers if number in signal.valid_signals()}
    wakeup = signal.set_wakeup_fd(-1)

    with Inbox() as inbox:
        assert signal.getsignal(signal.SIGTERM) != before[signal.SIGTERM]
        fds = [inbox.fileno()]

    assert {number: signal.getsignal(number) for number in before} == before
    assert signal.set_wakeup_fd(wakeup) == -1
    with pytest.raises(OSError):
        os.fstat(fds[0])


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Inbox() as inbox:
            signal.raise_signal(signal.SIGHUP)
            assert inbox.take() == b""
    finally:
        signal.signal(signal.SIGHUP, before)


def test_job_control_and_faults_are_left_alone() -> None:
    left = [signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCHLD, signal.SIGPIPE, signal.SIGSEGV]
    before = [signal.getsignal(number) for number in left]

    with Inbox():
        assert [signal.getsignal(number) for number in left] == before


def test_who_insists_during_a_start_interrupts_it() -> None:
    with Inbox():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_who_insists_later_is_served_by_the_loop() -> None:
    with Inbox() as inbox:
        inbox.is_served = True
        for _ in range(4):
            signal.raise_signal(signal.SIGINT)

        assert list(inbox.take()) == [signal.SIGINT] * 4
