"""run(): subprocess's manners for arguments, streams and results, with what containers add."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pyrt import (
    Cancelled,
    Engine,
    Exited,
    InvalidArgument,
    InvalidOption,
    OutOfMemory,
    OutputLimit,
    ProcessFailed,
    ProcessTimeout,
    Signalled,
    TimedOut,
)
from tests.containers import Shell
from tests.hosts import processes_in, run_python

DAEMON = "setsid sh -c 'setsid sleep 1000 & setsid sleep 1000 & sleep 1000' >/dev/null 2>&1 & "


def test_output_is_captured_as_bytes(shell: Shell) -> None:
    done = shell.engine.run(shell.image, ["sh", "-c", "echo out; echo err >&2; exit 3"])

    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 3)
    assert isinstance(done, subprocess.CompletedProcess)
    assert done.args == ("sh", "-c", "echo out; echo err >&2; exit 3")


def test_stdin_is_empty_unless_given(shell: Shell) -> None:
    assert shell.run("cat").stdout == ""
    assert shell.run("cat", input="given").stdout == "given"


@pytest.mark.parametrize(
    ("options", "given", "expected"),
    [
        ({"text": True}, "ä\n", "ä\n"),
        ({"text": None, "encoding": "latin-1"}, "ä\n", "ä\n"),
        ({"text": None, "errors": "replace"}, "a\r\nb\r", "a\nb\n"),
        ({"text": None}, b"\0\xff\r\n", b"\0\xff\r\n"),
        ({"text": None}, bytearray(b"x"), b"x"),
    ],
)
def test_text_and_bytes(shell: Shell, options: dict[str, object], given: object, expected: object) -> None:
    assert shell.run("cat", input=given, **options).stdout == expected


def test_bytes_that_are_no_text(shell: Shell) -> None:
    assert shell.run("printf", r"\377", errors="replace").stdout == "\ufffd"
    with pytest.raises(UnicodeDecodeError):
        shell.run("printf", r"\377", encoding="utf-8")


def test_large_input_to_a_program_that_does_not_read(shell: Shell) -> None:
    assert shell.run("true", input="x" * (1 << 20)).returncode == 0
    assert shell.run("head", "-c", "1", input="x" * (1 << 20)).stdout == "x"


def test_large_input_and_output_at_once(shell: Shell) -> None:
    data = os.urandom(3 << 20)

    assert shell.run("cat", input=data, text=None).stdout == data


def test_streams_to_files(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("from a file\n")
    with open(tmp_path / "in") as given, open(tmp_path / "out", "wb") as out, open(tmp_path / "err", "wb") as err:
        done = shell.run("sh", "-c", "cat; echo wrong >&2", stdin=given, stdout=out, stderr=err.fileno())

    assert (done.stdout, done.stderr) == (None, None)
    assert (tmp_path / "out").read_text() == "from a file\n"
    assert (tmp_path / "err").read_text() == "wrong\n"


def test_streams_together(shell: Shell) -> None:
    done = shell.run("sh", "-c", "echo 1; echo 2 >&2; echo 3", stderr=subprocess.STDOUT)

    assert (done.stdout, done.stderr) == ("1\n2\n3\n", None)


def test_streams_to_nowhere(shell: Shell) -> None:
    done = shell.run("sh", "-c", "echo 1; echo 2 >&2", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    assert (done.stdout, done.stderr) == (None, None)


def test_the_caller_s_own_streams(root_or_user: str, engine: Engine, image: str) -> None:
    program = """
import sys
from pyrt import Engine
with Engine(sys.argv[1]) as engine:
    done = engine.run(sys.argv[2], ["sh", "-c", "echo inherited"], capture_output=False)
    assert done.stdout is None
"""
    assert run_python(program, engine.root, image) == "inherited\n"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"stdin": -9}, "stdin"),
        ({"stdout": "file"}, "stdout"),
        ({"stdout": 9999}, "stdout"),
        ({"stdout": subprocess.STDOUT}, "stdout"),
        ({"input": b"x", "stdin": subprocess.PIPE}, "input"),
        ({"input": "x", "text": None}, "input"),
        ({"input": 7}, "input"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": "5"}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"output_limit": -1}, "output_limit"),
        ({"output_limit": "lots"}, "output_limit"),
        ({"output_action": "explode"}, "output_action"),
        ({"on_stdout": 7}, "on_stdout"),
        ({"encoding": "no-such-encoding"}, "encoding"),
        ({"text": True, "errors": "no-such-handler"}, "errors"),
        ({"mem_limt": "1g"}, "mem_limt"),
    ],
)
def test_wrong_arguments_are_named(shell: Shell, arguments: dict[str, object], name: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        shell.run("true", **arguments)

    assert caught.value.argument == name


@pytest.mark.parametrize("args", [[], "sleep 1", [1], [b"true"], ["a\0b"], [""]])
def test_arguments_that_are_none(shell: Shell, args: Any) -> None:
    with pytest.raises(InvalidArgument):
        shell.engine.run(shell.image, args)


def test_no_arguments_and_no_command_of_the_image(shell: Shell) -> None:
    with pytest.raises(InvalidArgument, match="args"):
        shell.engine.run(shell.image)


def test_check(shell: Shell) -> None:
    assert shell.run("true", check=True).returncode == 0
    with pytest.raises(ProcessFailed, match="sh exited with 3") as caught:
        shell.run("sh", "-c", "echo partly; echo wrong >&2; exit 3", check=True)

    error = caught.value
    assert isinstance(error, subprocess.CalledProcessError)
    assert (error.returncode, error.stdout, error.stderr) == (3, "partly\n", "wrong\n")
    assert error.result.exit_cause == Exited(3)


def test_a_callback_for_each_line(shell: Shell) -> None:
    out: list[str] = []
    err: list[str] = []

    done = shell.run("sh", "-c", "echo a; echo e >&2; printf 'b\\n\\nlast'", on_stdout=out.append, on_stderr=err.append)

    assert (out, err) == (["a", "b", "", "last"], ["e"])
    assert (done.stdout, done.stderr) == (None, None)


def test_lines_come_while_the_program_runs(shell: Shell) -> None:
    seen: list[bytes] = []

    class Enough(Exception):
        pass

    def stop(line: bytes) -> None:
        seen.append(line)
        raise Enough

    with pytest.raises(Enough):
        shell.run("sh", "-c", "echo first; sleep 1000", text=None, on_stdout=stop)
    assert seen == [b"first"]


def test_a_timeout_is_a_result(shell: Shell) -> None:
    done = shell.run("sh", "-c", "echo before; exec sleep 1000", timeout=0.3)

    assert done.exit_cause == TimedOut(0.3)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "before\n")


def test_a_timeout_is_an_error_with_check(shell: Shell) -> None:
    with pytest.raises(ProcessTimeout, match=r"after 0\.2 seconds") as caught:
        shell.run("sh", "-c", "echo before; exec sleep 1000", timeout=0.2, check=True)

    assert isinstance(caught.value, subprocess.TimeoutExpired)
    assert (caught.value.timeout, caught.value.stdout) == (0.2, "before\n")


def test_no_time_at_all(shell: Shell) -> None:
    assert shell.run("sleep", "1000", timeout=0).exit_cause == TimedOut(0)


@pytest.mark.parametrize("hold", ["", "trap '' TERM INT HUP; "])
def test_a_timeout_ends_daemons_too(shell: Shell, hold: str) -> None:
    lines: list[str] = []
    script = f"{hold}{DAEMON * 3} readlink /proc/self/ns/pid; sleep 1000"

    done = shell.run("sh", "-c", script, timeout=0.5, on_stdout=lines.append)

    assert isinstance(done.exit_cause, TimedOut)
    assert [processes_in(namespace) for namespace in lines] == [[]]


def test_daemons_end_with_the_program(shell: Shell) -> None:
    namespace = shell.sh(f"{DAEMON} {DAEMON} readlink /proc/self/ns/pid")

    assert namespace.startswith("pid:")
    assert processes_in(namespace) == []


def test_head_and_tail_of_much_output(shell: Shell) -> None:
    done = shell.run("sh", "-c", "seq 100000; seq 100000 >&2", output_limit=1000)
    whole = "".join(f"{number}\n" for number in range(1, 100001))

    for kept, omitted in ((done.stdout, done.stdout_omitted_bytes), (done.stderr, done.stderr_omitted_bytes)):
        assert omitted == len(whole) - 1000
        head, tail = re.split(rf"\n\[\.\.\. {omitted} bytes left out \.\.\.\]\n", kept)
        assert (head, tail) == (whole[:500], whole[-500:])


@pytest.mark.parametrize(("size", "omitted"), [(9, 0), (10, 0), (11, 1)])
def test_an_output_limit_to_the_byte(shell: Shell, size: int, omitted: int) -> None:
    done = shell.run("printf", "%s", "x" * size, output_limit=10)

    assert done.stdout_omitted_bytes == omitted
    assert done.exit_cause == Exited(0)
    assert done.stdout.count("x") == size - omitted


def test_an_output_limit_within_a_character(shell: Shell) -> None:
    done = shell.run("printf", "%s", "ä" * 9, output_limit=5, encoding="utf-8")

    assert done.stdout == "ä\ufffd\n[... 13 bytes left out ...]\nä"


def test_too_much_output_can_end_the_program(shell: Shell) -> None:
    done = shell.run("yes", output_limit="64k", output_action="kill")

    assert done.exit_cause == OutputLimit("stdout", 65536)
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(ProcessFailed, match="more than 65536 bytes to stdout"):
        shell.run("yes", output_limit="64k", output_action="kill", check=True)


@pytest.mark.parametrize(
    ("script", "cause", "code"),
    [
        ("exit 0", Exited(0), 0),
        ("exit 255", Exited(255), 255),
        ("exec nop", Exited(0), 0),
    ],
)
def test_causes_of_an_end(shell: Shell, script: str, cause: object, code: int) -> None:
    done = shell.run("sh", "-c", script)

    assert (done.exit_cause, done.returncode) == (cause, code)


def test_a_signal_from_elsewhere(shell: Shell) -> None:
    with shell.engine.popen(shell.image, ["sleep", "1000"]) as process:
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL

    assert process.exit_cause == Signalled(signal.SIGKILL)


def test_a_signal_from_the_owner(shell: Shell) -> None:
    with shell.engine.popen(shell.image, ["sleep", "1000"]) as process:
        process.kill()
        assert process.wait() == -signal.SIGKILL

    assert process.exit_cause == Cancelled(signal.SIGKILL)


@pytest.mark.needs("root")
@pytest.mark.parametrize("init", [False, True])
def test_out_of_memory_is_told_apart(root_shell: Shell, init: bool) -> None:
    done = root_shell.run("tail", "/dev/zero", mem_limit="16m", memswap_limit="16m", init=init)

    assert isinstance(done.exit_cause, OutOfMemory)
    assert done.exit_cause.limit_bytes == 16 << 20
    assert done.exit_cause.kills >= 1
    assert done.usage.oom_kills == done.exit_cause.kills
    assert done.returncode == (128 + signal.SIGKILL if init else -signal.SIGKILL)


def test_what_was_used_and_how_long_it_took(shell: Shell) -> None:
    done = shell.run("sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")
    timings = done.timings

    phases = (timings.prepare_ns, timings.spawn_ns, timings.root_ns, timings.confine_ns, timings.exec_ns)
    assert all(phase > 0 for phase in phases)
    assert timings.wall_ns is not None and timings.wall_ns > sum(phases)
    if os.geteuid() == 0:
        assert (done.usage.cpu_ns or 0) > 1_000_000
        assert (done.usage.memory_peak_bytes or 0) > 0


@pytest.mark.needs("root")
def test_what_is_in_force(root_shell: Shell) -> None:
    done = root_shell.run("true", mem_limit="64m", pids_limit=50, cpus=0.5)

    assert done.effective["mem_limit"] == 64 << 20
    assert (done.effective["pids_limit"], done.effective["cpus"]) == (50, 0.5)


CONSTANT = """
import resource, sys
from pyrt import Engine
size, seen = int(sys.argv[3]), 0
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with Engine(sys.argv[1]) as engine:
    engine.run(sys.argv[2], ["true"], output_limit=1000)
    before = peak()
    done = engine.run(sys.argv[2], ["dd", "if=/dev/zero", "bs=1M", f"count={size >> 20}"], output_limit="1m")
    assert done.stdout_omitted_bytes == size - (1 << 20), done
    print(peak() - before)
"""


@pytest.mark.parametrize("mebibytes", [1024])
def test_much_output_needs_constant_memory(root_or_user: str, engine: Engine, image: str, mebibytes: int) -> None:
    grown_kib = int(run_python(CONSTANT, engine.root, image, str(mebibytes << 20)))

    assert grown_kib < 16 << 10
