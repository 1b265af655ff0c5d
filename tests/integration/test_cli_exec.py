"""`pyrt exec` as a shell calls it: streams, exit codes, signals, users. The words are docker's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts import eventually
from tests.integration.test_cli_containers import FOREVER, Pyrt
from tests.kept_engine import IMAGE, kept_engine

pytestmark = pytest.mark.needs("overlay")


@pytest.fixture
def pyrt(public_directory: Path, public_rootfs: Path) -> Iterator[Pyrt]:
    with kept_engine(public_directory, public_rootfs) as engine:
        pyrt = Pyrt(engine)
        pyrt.run("box", *FOREVER, flags=("-e", "OWN=1"))
        yield pyrt


def programs(pyrt: Pyrt) -> list[str]:
    """Give the commands of all processes in the container but its own."""
    lines = pyrt.ok("top", "box", "-o", "args").splitlines()[1:]
    return [line.strip() for line in lines if line.strip() != " ".join(FOREVER)]


def test_output_and_exit_code_are_the_programs(pyrt: Pyrt) -> None:
    for words in (("exec",), ("container", "exec"), ("--root", str(pyrt.engine.root), "exec")):
        done = pyrt(*words, "box", "sh", "-c", "echo out; echo err >&2; exit 3")
        assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")


def test_flags_end_at_the_containers_name(pyrt: Pyrt) -> None:
    assert pyrt.ok("exec", "box", "echo", "-i", "--help", "--", "-n") == "-i --help -- -n\n"
    assert pyrt.ok("exec", "--", "box", "echo", "a") == "a\n"
    assert pyrt.ok("exec", "box", "--", "echo", "a") == "a\n"


def test_a_container_is_found_by_its_id(pyrt: Pyrt) -> None:
    id = pyrt.ok("ps", "-q").strip()

    assert pyrt.ok("exec", id, "echo", "a") == "a\n"


def test_input_is_empty_unless_it_is_asked_for(pyrt: Pyrt) -> None:
    assert pyrt.ok("exec", "box", "cat", input=b"word\n") == ""
    assert pyrt.ok("exec", "-i", "box", "cat", input=b"word\n") == "word\n"


def test_streams_are_binary_and_the_end_of_input_arrives(pyrt: Pyrt) -> None:
    sent = os.urandom(2 << 20)
    command = [*pyrt.command, "exec", "-i", "box", "sh", "-c", "cat; echo over >&2"]

    done = subprocess.run(command, input=sent, capture_output=True, env=pyrt.environment, timeout=60)

    assert (done.returncode, done.stdout == sent, done.stderr) == (0, True, b"over\n")


def test_what_the_program_does_not_read_is_left(pyrt: Pyrt) -> None:
    shell = f'while read -r line; do {sys.executable} -m pyrt exec -i box true; echo "$line"; done'
    reading, writing = os.pipe()
    with open(reading), open(writing, "wb") as lines:
        lines.write(b"one\ntwo\n")
        lines.close()
        done = subprocess.run(["sh", "-c", shell], stdin=reading, capture_output=True, env=pyrt.environment, timeout=60)

    assert (done.returncode, done.stdout) == (0, b"one\ntwo\n")


def test_variables(pyrt: Pyrt, tmp_path: Path) -> None:
    file = tmp_path / "variables"
    file.write_text("# a comment\nFILE=1\nBOTH=file\nHERE\n")
    words = ("-e", "BOTH=words", "--env-file", str(file), "-e", "TAKEN", "--env=EMPTY=", "-e", "NOWHERE")

    found = pyrt.ok("exec", *words, "box", "env", TAKEN="here", HERE="there").splitlines()

    assert {"A=1", "OWN=1", "FILE=1", "BOTH=words", "TAKEN=here", "HERE=there", "EMPTY="} <= {*found}
    assert not any(line.startswith("NOWHERE") for line in found)


def test_workdir(pyrt: Pyrt) -> None:
    assert pyrt.ok("exec", "-w", "/etc", "box", "pwd") == "/etc\n"
    relative = pyrt("exec", "-w", "etc", "box", "pwd")
    assert (relative.returncode, relative.stdout) == (126, "")
    assert "--workdir" in relative.stderr
    assert pyrt("exec", "--workdir", "/nothing", "box", "pwd").returncode == 126


@pytest.mark.needs("other_ids")
def test_user(pyrt: Pyrt) -> None:
    assert pyrt.ok("exec", "box", "id", "-u") == "0\n"
    assert pyrt.ok("exec", "-u", "1000:1001", "box", "sh", "-c", "id -u; id -g") == "1000\n1001\n"
    nobody = pyrt("exec", "--user=nobody-here", "box", "id")
    assert (nobody.returncode, nobody.stdout) == (126, "")
    assert "nobody-here" in nobody.stderr


def test_privileged(pyrt: Pyrt) -> None:
    def capabilities(*flags: str) -> int:
        return int(pyrt.ok("exec", *flags, "box", "sh", "-c", "grep CapEff /proc/self/status").split()[1], 16)

    plain, privileged = capabilities(), capabilities("--privileged")

    assert plain & privileged == plain != privileged


def test_what_cannot_be_executed(pyrt: Pyrt) -> None:
    missing, directory = pyrt("exec", "box", "nothing"), pyrt("exec", "box", "/etc")

    assert (missing.returncode, missing.stdout) == (127, "")
    assert "nothing" in missing.stderr
    assert (directory.returncode, directory.stdout) == (126, "")
    assert pyrt("exec", "-d", "box", "nothing").returncode == 1


def test_where_nothing_runs(pyrt: Pyrt) -> None:
    nowhere = pyrt("exec", "nowhere", "true")
    assert (nowhere.returncode, nowhere.stderr) == (1, "pyrt: nowhere: there is no container of this name or id\n")
    pyrt.ok("create", "--name", "new", IMAGE)
    pyrt.ok("stop", "-t", "0", "box")
    for name in ("new", "box"):
        for flags in ((), ("-d",)):
            done = pyrt("exec", *flags, name, "true")
            assert (done.returncode, done.stdout) == (1, "")
            assert name in done.stderr


@pytest.mark.needs("root")
def test_what_is_paused(pyrt: Pyrt) -> None:
    pyrt.ok("pause", "box")

    done = pyrt("exec", "box", "true")

    assert (done.returncode, done.stdout) == (1, "")
    assert "paused" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 1, "CONTAINER"),
        (("box",), 1, "COMMAND"),
        (("box", "--"), 1, "COMMAND"),
        (("--nothing", "box", "true"), 125, "--nothing"),
        (("--tti", "box", "true"), 125, "--tty"),
        (("--detach-keys", "a", "box", "true"), 125, "-d starts one that goes on"),
        (("-dt", "box", "true"), 125, "--tty"),
        (("-d", "--timeout", "1", "box", "true"), 125, "--timeout"),
        (("--timeout", "x", "box", "true"), 125, "--timeout"),
        (("--env-file", "/nothing", "box", "true"), 125, "--env-file"),
        (("-it", "box", "true"), 1, "the input device is not a TTY"),
    ],
)
def test_what_is_refused(pyrt: Pyrt, words: tuple[str, ...], code: int, said: str) -> None:
    done = pyrt("exec", *words)

    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_detached_program_outlives_the_command(pyrt: Pyrt) -> None:
    assert pyrt.ok("exec", "-di", "-e", "LEFT=1", "box", "sh", "-c", "echo $LEFT > /left; exec sleep 500") == ""

    eventually(lambda: programs(pyrt) == ["sleep 500"], "it does not go on")
    assert pyrt.ok("exec", "box", "cat", "/left") == "1\n"


def test_timeout(pyrt: Pyrt) -> None:
    done = pyrt("exec", "--timeout", "0.3", "box", "sh", "-c", "echo begun; sleep 500")

    assert (done.returncode, done.stdout) == (124, "begun\n")
    assert done.stderr == "pyrt: sh was killed after 0.3 seconds\n"
    assert pyrt.ok("ps", "-q") != ""


def test_signals_reach_the_program(pyrt: Pyrt) -> None:
    script = "trap 'echo usr' USR1; trap 'exit 9' TERM; echo ready; while :; do sleep 0.02; done"

    with pyrt.popen("exec", "box", "sh", "-c", script) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == b"usr\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 9


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_the_program_does_not_handle_ends_it(pyrt: Pyrt, number: int) -> None:
    with pyrt.popen("exec", "box", "sh", "-c", "echo ready; exec sleep 500") as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(30) == 128 + number
    assert programs(pyrt) == []


def test_the_third_interrupt_kills_a_program_that_ignores_them(pyrt: Pyrt) -> None:
    script = "trap 'echo no' INT; echo ready; while :; do sleep 0.02; done"

    with pyrt.popen("exec", "box", "sh", "-c", script) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline() == b"ready\n"
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == b"no\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 137
        assert process.stderr.read() == b"pyrt: got 3 SIGINT or SIGTERM: the program is killed\n"
    assert pyrt.ok("ps", "-q") != ""


def test_a_command_that_is_killed_takes_the_program_with_it(pyrt: Pyrt) -> None:
    with pyrt.popen("exec", "box", "sh", "-c", "echo ready; exec sleep 500") as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.kill()
    eventually(lambda: programs(pyrt) == [], "it goes on")
    assert pyrt.ok("ps", "-q") != ""


def test_the_end_of_the_container_is_the_programs(pyrt: Pyrt) -> None:
    with pyrt.popen("exec", "box", "sh", "-c", "echo ready; exec sleep 500") as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        pyrt.ok("kill", "box")
        assert process.wait(30) == 137


def test_no_module_of_other_verbs_is_loaded(pyrt: Pyrt) -> None:
    program = "import sys; from pyrt.cli.main import main; main(['exec', 'box', 'true']); print(*sys.modules)"
    command = [sys.executable, "-c", program]

    done = subprocess.run(command, capture_output=True, env=pyrt.environment, timeout=60, check=True)

    heavy = {"click", "rich", "asyncio", "urllib3", "tarfile", "concurrent.futures", "pyrt.cli.terminal"}
    assert heavy & {*done.stdout.decode().split()} == set()


def test_an_event_says_so(pyrt: Pyrt) -> None:
    pyrt.ok("exec", "box", "true")

    seen = pyrt.ok("events", "--since", "60s", "--until", "0s", "--format", "{{.Action}}").split()
    assert "exec_start" in seen


@pytest.mark.parametrize(
    ("words", "found"),
    [("pyrt exec b", {"box"}), ("pyrt container exec b", {"box"}), ("pyrt exec --wor", {"--workdir"})],
)
def test_a_shell_completes(pyrt: Pyrt, words: str, found: set[str]) -> None:
    done = pyrt.ok(COMP_WORDS=words, COMP_CWORD=str(words.count(" ")), _PYRT_COMPLETE="bash_complete")

    assert {line.partition(",")[2] for line in done.split()} == found
