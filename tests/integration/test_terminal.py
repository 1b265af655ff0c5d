"""tty=True: the program has a terminal, and the caller its other side."""

from __future__ import annotations

import os
import subprocess

import pytest

from pyrt import InvalidArgument, WrongState
from tests.containers import Shell
from tests.hosts import read_until


def test_a_terminal(shell: Shell) -> None:
    look = "tty; stty size; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all; ls -l /dev/console | cut -c1; echo $TERM"
    with shell.start(f'{look}; read x; echo "<$x>"', tty=True) as process:
        seen = read_until(process, b"xterm")
        assert process.stdin is not None and process.stderr is None
        os.write(process.stdin.fileno(), b"typed\n")
        seen += read_until(process, b"<typed>")
        assert process.wait(60) == 0

    assert seen.replace(b"\r", b"").split()[:6] == [b"/dev/pts/0", b"24", b"80", b"all", b"c", b"xterm"]


def test_a_terminal_as_a_result(shell: Shell) -> None:
    assert shell.run("sh", "-c", "echo out; echo err >&2", tty=True, text=None).stdout == b"out\r\nerr\r\n"


@pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
def test_what_is_on_a_terminal_goes_nowhere_else(shell: Shell, stream: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        shell.run("true", tty=True, **{stream: subprocess.DEVNULL})

    assert caught.value.argument == stream


def test_a_terminal_changes_its_size(shell: Shell) -> None:
    script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.02; done"
    with shell.start(script, tty=True) as process:
        read_until(process, b"ready")
        process.resize(40, 132)
        assert b"40 132" in read_until(process, b"40 132")
        for rows, columns in ((-1, 80), (24, 1 << 16)):
            with pytest.raises(InvalidArgument):
                process.resize(rows, columns)


def test_ctrl_c_on_a_terminal(shell: Shell) -> None:
    with shell.start(
        "trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.02; done", tty=True
    ) as process:
        read_until(process, b"ready")
        assert process.stdin is not None
        os.write(process.stdin.fileno(), b"\x03")
        read_until(process, b"interrupted")
        assert process.wait(60) == 9


def test_no_terminal_no_size(shell: Shell) -> None:
    with shell.start("sleep 1000") as process, pytest.raises(WrongState):
        process.resize(24, 80)
