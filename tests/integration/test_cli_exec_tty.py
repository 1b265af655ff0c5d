"""`pyrt exec -t` at a terminal: keys, sizes, and the terminal afterwards."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_cli_attach import at_terminal
from tests.integration.test_cli_containers import FOREVER, Pyrt
from tests.kept_engine import kept_engine

pytestmark = pytest.mark.needs("overlay")
SIZES = "trap 'stty size' WINCH; stty size; while :; do sleep 0.02; done"


@pytest.fixture
def pyrt(public_directory: Path, public_rootfs: Path) -> Iterator[Pyrt]:
    with kept_engine(public_directory, public_rootfs) as engine:
        pyrt = Pyrt(engine)
        pyrt.run("box", *FOREVER)
        yield pyrt


def test_a_shell_at_a_terminal(pyrt: Pyrt) -> None:
    with at_terminal(pyrt, "exec", "-it", "box", "sh") as terminal:
        terminal.type(b"tty; echo $TERM $((40 + 2))x\r")
        terminal.expect(b"/dev/pts/")
        terminal.expect(b"xterm 42x\r\n")
        assert terminal.attributes() != terminal.cooked
        terminal.type(b"\x10\x11\x15")  # what leaves an attachment is for the program
        terminal.type(b"exit 6\r")

        assert terminal.end() == 6
        assert terminal.attributes() == terminal.cooked


def test_the_program_has_the_terminals_size_and_its_changes(pyrt: Pyrt) -> None:
    with at_terminal(pyrt, "exec", "-it", "box", "sh", "-c", SIZES, size=(30, 100)) as terminal:
        terminal.expect(b"30 100\r\n")
        terminal.resize(40, 132)
        terminal.process.send_signal(signal.SIGWINCH)
        terminal.expect(b"40 132\r\n")
        terminal.type(b"\x03")

        assert terminal.end() == 130
        assert terminal.attributes() == terminal.cooked


def test_an_interrupt_is_a_key_of_the_program(pyrt: Pyrt) -> None:
    script = "trap 'echo interrupted; exit 4' INT; echo ready; while :; do sleep 0.05; done"

    with at_terminal(pyrt, "exec", "-it", "box", "sh", "-c", script) as terminal:
        terminal.expect(b"ready\r\n")
        terminal.type(b"\x03")
        terminal.expect(b"interrupted\r\n")
        assert terminal.end() == 4


@pytest.mark.parametrize("flags", [(), ("-i",), ("-t",)])
def test_an_interrupt_at_the_keyboard_reaches_a_program_that_cannot_read_it(pyrt: Pyrt, flags: tuple[str, ...]) -> None:
    script = "trap 'echo interrupted; exit 4' INT; echo ready; while :; do sleep 0.05; done"

    with at_terminal(pyrt, "exec", *flags, "box", "sh", "-c", script) as terminal:
        terminal.expect(b"ready")
        assert terminal.attributes() == terminal.cooked
        terminal.type(b"\x03")
        terminal.expect(b"interrupted")
        assert terminal.end() == 4


def test_a_terminal_without_one_here(pyrt: Pyrt) -> None:
    assert pyrt.ok("exec", "-t", "box", "sh", "-c", "[ -t 1 ] && echo yes; echo err >&2") == "yes\r\nerr\r\n"


def test_what_ends_the_program_restores_the_terminal(pyrt: Pyrt) -> None:
    with at_terminal(pyrt, "exec", "-it", "box", "cat") as terminal:
        terminal.type(b"word\r")
        terminal.expect(b"word\r\nword\r\n")
        pyrt.ok("kill", "box")

        assert terminal.end() == 137
        assert terminal.attributes() == terminal.cooked


def test_after_its_time_the_terminal_is_restored(pyrt: Pyrt) -> None:
    with at_terminal(pyrt, "exec", "-it", "--timeout", "0.5", "box", "cat") as terminal:
        assert terminal.end() == 124
        assert terminal.said.endswith(b"cat was killed after 0.5 seconds\r\n")
        assert terminal.attributes() == terminal.cooked
