"""`pyrt run` and `pyrt doctor` as a shell calls them: streams, signals, exit codes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.programs import Program
from tests.terminal import Terminal

TOP = Path(__file__).resolve().parents[2]
MEBIBYTE = 1 << 20


class Pyrt:
    """Calls the command line on an engine root of its own."""

    def __init__(self, root: Path, image: str) -> None:
        self.image = image
        self.environment = {**os.environ, "PYRT_ROOT": str(root), "PYTHONPATH": str(TOP)}
        self.command = [sys.executable, "-m", "pyrt"]

    def __call__(self, *words: str, **arguments: Any) -> subprocess.CompletedProcess[Any]:
        """Run the command to its end, with stdout and stderr captured."""
        arguments = {"stdin": subprocess.DEVNULL, "text": True, **arguments}
        if "input" in arguments:
            del arguments["stdin"]
        command = [*self.command, *words]
        return subprocess.run(command, capture_output=True, env=self.environment, timeout=60, **arguments)

    def run(self, *words: str, **arguments: Any) -> subprocess.CompletedProcess[Any]:
        """`pyrt run`, with the image in the place of the word "IMAGE"."""
        return self("run", *self.with_image(words), **arguments)

    def popen(self, *words: str) -> Program[str]:
        """Start `pyrt run`."""
        command = [*self.command, "run", *self.with_image(words)]
        return Program(
            command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def with_image(self, words: Sequence[str]) -> list[str]:
        return [self.image if word == "IMAGE" else word for word in words]


@pytest.fixture
def pyrt(root_or_user: str, public_directory: Path, image: str) -> Iterator[Pyrt]:
    root = Path(tempfile.mkdtemp(prefix="cli-", dir=public_directory))
    root.chmod(0o711)
    yield Pyrt(root, image)
    left = [str(path) for path in root.rglob("*") if path.parent.name in ("copies", "stage")]
    shutil.rmtree(root)
    assert not left


def ready(process: subprocess.Popen[str]) -> None:
    """Wait for a program to say that it is ready."""
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["IMAGE", "true"], 0, ""),
        (["IMAGE", "sh", "-c", "exit 3"], 3, ""),
        (["IMAGE", "no-such-program"], 127, "pyrt: no-such-program: no such program"),
        (["IMAGE", "/no/such/program"], 127, "pyrt: /no/such/program: no such program"),
        (["IMAGE", "/etc/passwd"], 126, "pyrt: /etc/passwd cannot be executed: "),
        (["IMAGE", "/etc"], 126, "pyrt: /etc cannot be executed: "),
        (["-w", "/etc/passwd", "IMAGE", "true"], 126, "pyrt: --workdir /etc/passwd cannot be entered: "),
        (["--init", "IMAGE", "sh", "-c", "kill -TERM $$"], 143, ""),
        (["--init", "IMAGE", "sh", "-c", "kill -KILL $$"], 137, ""),
        (["--timeout", "0.3", "IMAGE", "sleep", "60"], 124, "pyrt: sleep was killed after 0.3 seconds"),
        (["-it", "IMAGE", "true"], 1, "pyrt: the input device is not a TTY"),
        (["--nonsense", "IMAGE"], 125, "pyrt: --nonsense: there is no such flag"),
        (["rootfs:/no/such/directory", "true"], 125, "pyrt: "),
        (["-u", "nobody-at-all", "IMAGE", "true"], 125, "pyrt: --user: there is no user 'nobody-at-all'"),
        (["-m", "1m", "IMAGE", "true"], 125, "pyrt: --memory: "),
        (
            ["--restart", "always", "IMAGE", "true"],
            125,
            "pyrt: --restart: a container that this command runs ends with it",
        ),
        (["IMAGE"], 125, "pyrt: COMMAND: there is no command"),
    ],
)
def test_exit_codes_are_dockers(pyrt: Pyrt, words: list[str], code: int, complaint: str) -> None:
    done = pyrt.run(*words)

    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(complaint) if complaint else done.stderr == ""
    assert done.stderr.count("\n") == bool(complaint)


@pytest.mark.parametrize(
    "way",
    [
        pytest.param("cgroup_v1", marks=pytest.mark.needs("root", "cgroup_v1")),
        pytest.param("cgroup_v2", marks=pytest.mark.needs("cgroup_v2")),
    ],
)
def test_a_program_that_ran_out_of_memory_is_told_apart(pyrt: Pyrt, way: str) -> None:
    done = pyrt.run("-m", "16m", "IMAGE", "sh", "-c", "x=$(yes | head -c 40000000)")

    assert done.returncode == 137, way
    assert done.stderr.endswith("pyrt: sh was killed because it needed more than its limit of 16777216 bytes\n")


def test_the_commands_own_flags_are_its_own(pyrt: Pyrt) -> None:
    assert pyrt.run("--rm", "IMAGE", "echo", "--rm", "-it", "--").stdout == "--rm -it --\n"
    assert pyrt.run("IMAGE", "--", "echo", "-e", "x").stdout == "x\n"


def test_flags_reach_the_program(pyrt: Pyrt, scratch: Path) -> None:
    script = "pwd; echo $A; hostname; cat /data/file; ls /new; id -u"
    (scratch / "file").write_text("from the host\n")
    words = ["-w", "/tmp", "-eA=b", "-h", "box", "-v", f"{scratch}:/data:ro", "-v", f"{scratch}/made:/new", "--user=0"]

    done = pyrt.run(*words, "IMAGE", "sh", "-c", script)

    assert done.stdout.split("\n") == ["/tmp", "b", "box", "from the host", "0", ""], done.stderr
    assert (scratch / "made").is_dir()


def test_root_can_be_given_before_the_verb(pyrt: Pyrt, scratch: Path) -> None:
    root = scratch / "engine"

    done = pyrt("--root", str(root), "run", pyrt.image, "--", "echo", "x")

    assert (done.returncode, done.stdout, done.stderr) == (0, "x\n", "")
    assert root.is_dir()


def test_stdin_is_empty_unless_it_is_asked_for(pyrt: Pyrt) -> None:
    assert pyrt.run("IMAGE", "cat", input="lost").stdout == ""
    assert pyrt.run("-i", "IMAGE", "cat", input="found").stdout == "found"
    assert pyrt.run("-i", "-a", "stdout", "IMAGE", "cat", input="lost").stdout == ""


def test_a_mebibyte_goes_through(pyrt: Pyrt) -> None:
    sent = os.urandom(MEBIBYTE)

    done = pyrt.run("-i", "IMAGE", "cat", input=sent, text=False)

    assert done.returncode == 0
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(sent).digest()


def test_both_outputs_stay_apart(pyrt: Pyrt) -> None:
    script = "echo out; echo err >&2"

    both, out, err = (
        pyrt.run(*flags, "IMAGE", "sh", "-c", script) for flags in ([], ["-a", "stdout"], ["-a", "stderr"])
    )

    assert (both.stdout, both.stderr) == ("out\n", "err\n")
    assert (out.stdout, out.stderr) == ("out\n", "")
    assert (err.stdout, err.stderr) == ("", "err\n")


def test_an_output_limit_shows_head_and_tail(pyrt: Pyrt) -> None:
    done = pyrt.run("--output-limit", "10", "IMAGE", "sh", "-c", "seq 1 1000; echo short >&2")

    assert done.stdout == "1\n2\n3\n[... 3883 bytes left out ...]\n1000\n"
    assert done.stderr == "short\n"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"])
def test_a_signal_reaches_the_program(pyrt: Pyrt, name: str) -> None:
    script = f"trap 'echo got it; exit 9' {name[3:]}; echo ready; while :; do sleep 0.05; done"

    with pyrt.popen("IMAGE", "sh", "-c", script) as process:
        ready(process)
        process.send_signal(signal.Signals[name])

        assert finish(process) == (9, "got it\n", "")


def test_the_third_interrupt_ends_who_does_not_listen(pyrt: Pyrt) -> None:
    script = "trap '' INT TERM; echo ready; while :; do sleep 0.05; done"

    with pyrt.popen("IMAGE", "sh", "-c", script) as process:
        ready(process)
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)

        assert finish(process) == (137, "", "pyrt: got 3 SIGINT or SIGTERM: the container is killed\n")


def test_without_sig_proxy_a_signal_ends_the_command_and_the_container(pyrt: Pyrt) -> None:
    script = "trap 'echo got it' TERM; echo ready; while :; do sleep 0.05; done"

    with pyrt.popen("--sig-proxy=false", "IMAGE", "sh", "-c", script) as process:
        ready(process)
        process.send_signal(signal.SIGTERM)

        assert finish(process) == (143, "", "")


def test_output_that_nobody_reads_does_not_hold_up_a_second_signal(pyrt: Pyrt) -> None:
    with pyrt.popen("-t", "IMAGE", "sh", "-c", "trap 'exit 4' TERM; yes & while :; do sleep 0.05; done") as process:
        assert process.stdout is not None
        os.read(process.stdout.fileno(), 1)
        time.sleep(0.5)  # until the pipe is full
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=30) == 4


def test_a_reader_that_leaves_ends_the_container(pyrt: Pyrt) -> None:
    with pyrt.popen("-t", "IMAGE", "yes") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "y\n"
        process.stdout.close()

        assert process.wait(timeout=30) == 137


def test_a_terminal_inside_needs_none_outside(pyrt: Pyrt) -> None:
    done = pyrt.run(
        "-t", "IMAGE", "sh", "-c", "tty; stty size; test -t 1; echo $?; head -c 300000 /dev/zero", text=False
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"/dev/pts/0\r\n24 80\r\n0\r\n" + bytes(300000)


def at_terminal(pyrt: Pyrt, *words: str, size: tuple[int, int] = (24, 80)) -> Terminal:
    return Terminal([*pyrt.command, "run", *pyrt.with_image(words)], pyrt.environment, size)


def test_keys_go_to_the_program_and_the_terminal_is_as_before(pyrt: Pyrt) -> None:
    with at_terminal(pyrt, "-it", "IMAGE", "sh", "-c", "echo ready; read line; echo got $line; exit 6") as terminal:
        terminal.expect(b"ready\r\n")
        assert terminal.attributes() != terminal.cooked
        terminal.type(b"word\r")

        assert terminal.end() == 6
        assert terminal.said == b"word\r\ngot word\r\n"  # what is typed is echoed once, and inside
        assert terminal.attributes() == terminal.cooked


def test_interrupt_and_suspend_are_keys_of_the_program(pyrt: Pyrt) -> None:
    script = "trap 'echo interrupted; exit 4' INT; echo ready; while :; do sleep 0.05; done"
    with at_terminal(pyrt, "-it", "IMAGE", "sh", "-c", script) as terminal:
        terminal.expect(b"ready\r\n")
        terminal.type(b"\x03")

        terminal.expect(b"interrupted\r\n")
        assert terminal.end() == 4


def test_end_of_file_is_a_key_of_the_program(pyrt: Pyrt) -> None:
    with at_terminal(pyrt, "-it", "IMAGE", "sh", "-c", "echo ready; cat; echo over") as terminal:
        terminal.expect(b"ready\r\n")
        terminal.type(b"\x04")

        terminal.expect(b"over\r\n")
        assert terminal.end() == 0


def test_the_program_has_the_terminals_size_and_its_changes(pyrt: Pyrt) -> None:
    script = "trap 'stty size; exit 0' WINCH; stty size; while :; do sleep 0.05; done"
    with at_terminal(pyrt, "-it", "IMAGE", "sh", "-c", script, size=(31, 101)) as terminal:
        terminal.expect(b"31 101\r\n")
        terminal.resize(32, 102)

        terminal.expect(b"32 102\r\n")
        assert terminal.end() == 0


@pytest.mark.parametrize("flags", [["-it"], ["-t"]])
def test_a_timeout_restores_the_terminal(pyrt: Pyrt, flags: list[str]) -> None:
    with at_terminal(pyrt, *flags, "--timeout", "0.5", "IMAGE", "sleep", "60") as terminal:
        assert terminal.end() == 124
        assert terminal.attributes() == terminal.cooked


def test_a_signal_restores_the_terminal(pyrt: Pyrt) -> None:
    with at_terminal(pyrt, "-it", "--sig-proxy=false", "IMAGE", "sh", "-c", "echo ready; sleep 60") as terminal:
        terminal.expect(b"ready\r\n")
        terminal.process.send_signal(signal.SIGTERM)

        assert terminal.end() == 143
        assert terminal.attributes() == terminal.cooked


def test_a_program_that_is_missing_leaves_the_terminal_alone(pyrt: Pyrt) -> None:
    with at_terminal(pyrt, "-it", "IMAGE", "no-such-program") as terminal:
        assert terminal.end() == 127
        assert terminal.said.startswith(b"pyrt: no-such-program: no such program")
        assert terminal.attributes() == terminal.cooked


def test_an_interrupt_at_the_keyboard_reaches_a_program_without_a_terminal(pyrt: Pyrt) -> None:
    script = "trap 'echo got it; exit 5' INT; echo ready; while :; do sleep 0.05; done"
    with at_terminal(pyrt, "IMAGE", "sh", "-c", script) as terminal:
        terminal.expect(b"ready\r\n")
        terminal.type(b"\x03")

        terminal.expect(b"got it\r\n")
        assert terminal.end() == 5


def test_all_output_is_flushed_before_the_end(pyrt: Pyrt) -> None:
    with at_terminal(pyrt, "-it", "IMAGE", "sh", "-c", "seq 1 20000; exit 2") as terminal:
        assert terminal.end() == 2
        assert terminal.said == b"".join(b"%d\r\n" % number for number in range(1, 20001))


def test_doctor_draws_a_table_at_a_terminal(pyrt: Pyrt) -> None:
    with Terminal([*pyrt.command, "doctor"], {**pyrt.environment, "TERM": "xterm"}, (60, 120)) as terminal:
        assert terminal.end() == 0
        assert b"container" in terminal.said and b"\x1b[32mok" in terminal.said


def test_doctor_says_that_containers_run(pyrt: Pyrt) -> None:
    done = pyrt("doctor", "--json")

    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"]) == (0, True), done.stdout + done.stderr
    assert {frozenset(check) for check in found["checks"]} == {frozenset({"name", "state", "reason", "mend"})}
    assert {check["state"] for check in found["checks"]} <= {"ok", "limited", "missing"}
    assert found["checks"][-1]["name"] == "container"
    assert [check["name"] for check in found["checks"] if check["state"] != "ok" and not check["reason"]] == []


def test_doctor_says_why_containers_do_not_run(pyrt: Pyrt, scratch: Path) -> None:
    (scratch / "file").touch()

    done = pyrt("--root", str(scratch / "file"), "doctor")

    assert done.returncode == 1
    assert "missing engine root " in done.stdout
    assert str(scratch / "file") in done.stdout
