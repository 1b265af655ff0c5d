"""`pyrt attach` and `pyrt start -a` at a terminal: keys, sizes, and leaving it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_cli_containers import Pyrt
from tests.kept_engine import IMAGE, kept_engine
from tests.terminal import Terminal

pytestmark = pytest.mark.needs("overlay")


@pytest.fixture
def pyrt(public_directory: Path, public_rootfs: Path) -> Iterator[Pyrt]:
    with kept_engine(public_directory, public_rootfs) as engine:
        yield Pyrt(engine)


def at_terminal(pyrt: Pyrt, *words: str, size: tuple[int, int] = (24, 80)) -> Terminal:
    return Terminal([*pyrt.command, *words], pyrt.environment, size)


def test_a_terminal_is_left_and_taken_again(pyrt: Pyrt) -> None:
    pyrt.run("box", "sh", flags=("-it",))

    for number in range(2):
        with at_terminal(pyrt, "attach", "box") as terminal:
            terminal.type(b"echo $((40 + 2))x\r")
            terminal.expect(b"42x\r\n")
            assert terminal.attributes() != terminal.cooked
            terminal.type(b"\x10")
            if number:
                terminal.type(b"\x11")
            else:
                terminal.type(b"p\x7f\x10\x11")  # ctrl-p alone is the program's

            assert terminal.end() == 0
            assert terminal.said.endswith(b"read escape sequence\r\n")
            assert terminal.attributes() == terminal.cooked
        assert pyrt.engine.containers.get("box").status == "running"
    with at_terminal(pyrt, "attach", "box") as terminal:
        terminal.type(b"exit 6\r")
        assert terminal.end() == 6


def test_other_keys_may_leave_it(pyrt: Pyrt) -> None:
    pyrt.run("box", "cat", flags=("-it",))

    with at_terminal(pyrt, "attach", "--detach-keys", "ctrl-x,x", "box") as terminal:
        terminal.type(b"\x10\x11\r")
        terminal.expect(b"^P")
        terminal.type(b"\x18x")
        assert terminal.end() == 0
    wrong = pyrt("attach", "--detach-keys", "nothing", "box")
    assert wrong.returncode == 1
    assert "--detach-keys: 'nothing' is no key" in wrong.stderr


def test_the_program_has_the_terminals_size_and_its_changes(pyrt: Pyrt) -> None:
    is_so = "until [ \"$(stty size)\" = '30 100' ]; do sleep 0.02; done"
    script = f"{is_so}; trap 'stty size' WINCH; echo ready; while :; do sleep 0.02; done"
    pyrt.ok("create", "-it", "--name", "box", IMAGE, "sh", "-c", script)

    with at_terminal(pyrt, "start", "-ai", "box", size=(30, 100)) as terminal:
        terminal.expect(b"ready\r\n")
        terminal.resize(40, 132)
        terminal.process.send_signal(signal.SIGWINCH)
        terminal.expect(b"40 132\r\n")
        terminal.type(b"\x10\x11")
        assert terminal.end() == 0
        assert terminal.attributes() == terminal.cooked


def test_a_detached_program_starts_with_the_size_of_the_terminal_that_made_it(pyrt: Pyrt) -> None:
    with at_terminal(pyrt, "run", "-dt", "--name", "box", IMAGE, "stty", "size", size=(30, 100)) as terminal:
        assert terminal.end() == 0

    assert pyrt.ok("wait", "box") == "0\n"
    assert pyrt.ok("start", "-a", "box").split() == ["30", "100"]


def test_an_interrupt_is_a_key_of_the_program(pyrt: Pyrt) -> None:
    script = "trap 'echo interrupted; exit 4' INT; echo ready; while :; do sleep 0.05; done"
    pyrt.ok("create", "-it", "--name", "box", IMAGE, "sh", "-c", script)

    with at_terminal(pyrt, "start", "-ai", "box") as terminal:
        terminal.expect(b"ready\r\n")
        terminal.type(b"\x03")
        terminal.expect(b"interrupted\r\n")
        assert terminal.end() == 4


def test_an_interrupt_at_the_keyboard_reaches_a_program_without_a_terminal(pyrt: Pyrt) -> None:
    script = "trap 'echo interrupted; exit 4' INT; echo ready; while :; do sleep 0.05; done"
    pyrt.ok("create", "--name", "box", IMAGE, "sh", "-c", script)

    with at_terminal(pyrt, "start", "-a", "box") as terminal:
        terminal.expect(b"ready\r\n")
        terminal.type(b"\x03")
        terminal.expect(b"interrupted\r\n")
        assert terminal.end() == 4


def test_a_terminal_is_typed_into_from_terminals_alone(pyrt: Pyrt) -> None:
    pyrt.run("box", "sh", "-c", "while :; do echo tick; sleep 0.02; done", flags=("-it",))

    refused = pyrt("attach", "box")

    assert (refused.returncode, refused.stderr) == (1, "pyrt: the input device is not a TTY\n")
    with pyrt.popen("attach", "--no-stdin", "box") as process:
        assert process.stdout
        assert process.stdout.readline() == b"tick\r\n"
        pyrt.engine.containers.get("box").kill()
        assert process.wait(30) == 137


def test_the_end_of_the_container_restores_the_terminal(pyrt: Pyrt) -> None:
    pyrt.run("box", "cat", flags=("-it",))

    with at_terminal(pyrt, "attach", "box") as terminal:
        terminal.type(b"word\r")
        terminal.expect(b"word\r\nword\r\n")
        pyrt.engine.containers.get("box").kill()
        assert terminal.end() == 137
        assert terminal.attributes() == terminal.cooked
