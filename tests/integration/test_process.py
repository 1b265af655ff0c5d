"""popen(): a running container with subprocess.Popen's manners, for many threads at once."""

from __future__ import annotations

import gc
import os
import select
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pyrt import Cancelled, Engine, Exited, PyrtError, Signalled
from tests.containers import Shell
from tests.hosts import processes_in, read_until

PIPE = subprocess.PIPE


def test_a_conversation(shell: Shell) -> None:
    script = 'while read line; do echo "<$line>"; done; echo end'
    with shell.start(script, stdin=PIPE, stdout=PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("one\n")
        assert process.stdout.readline() == "<one>\n"
        process.stdin.write("two\n")
        assert process.stdout.readline() == "<two>\n"
        process.stdin.close()
        assert process.stdout.read() == "end\n"
        assert process.wait(60) == 0

    assert process.exit_cause == Exited(0)


def test_poll_and_wait(shell: Shell) -> None:
    with shell.start("read go; exit 5", stdin=PIPE) as process:
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
        process.communicate(b"go\n")
        assert [process.returncode, process.poll(), process.wait(), process.wait(1)] == [5] * 4
        assert process.fileno() == -1


def test_the_pidfd_says_when_it_is_over(shell: Shell) -> None:
    with shell.start("read go", stdin=PIPE) as process:
        assert select.select([process], [], [], 0)[0] == []
        assert process.stdin is not None
        process.stdin.close()
        assert select.select([process], [], [], 60)[0] == [process]


def test_communicate(shell: Shell) -> None:
    with shell.start("cat; echo wrong >&2", stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
        assert process.communicate(b"given", timeout=60) == (b"given", b"wrong\n")
    with shell.start("cat", stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.communicate("ä", timeout=60) == ("ä", None)


def test_communicate_after_a_timeout_loses_nothing(shell: Shell) -> None:
    script = "echo first; while ! [ -e /go ]; do sleep 0.02; done; echo second"
    with shell.start(script, stdout=PIPE) as process:
        read = b""
        while not read:
            with pytest.raises(subprocess.TimeoutExpired) as caught:
                process.communicate(timeout=0.1)
            read = caught.value.output or b""
        assert read == b"first\n"
        Path(f"/proc/{process.pid}/root/go").touch()
        assert process.communicate(timeout=60) == (b"first\nsecond\n", None)


def test_communicate_after_a_timeout_goes_on_sending(shell: Shell) -> None:
    with shell.start("while ! [ -e /go ]; do sleep 0.02; done; wc -c", stdin=PIPE, stdout=PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(b"x" * (1 << 20), timeout=0.1)
        Path(f"/proc/{process.pid}/root/go").touch()
        assert process.communicate(timeout=60) == (b"%d\n" % (1 << 20), None)


def test_communicate_sends_what_was_written_before_and_reads_what_is_left(shell: Shell) -> None:
    with shell.start("cat", stdin=PIPE, stdout=PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"first, ")
        assert process.communicate(b"second", timeout=60) == (b"first, second", None)
    with shell.start("echo all", stdout=PIPE) as process:
        process.wait(60)
        assert process.communicate() == (b"all\n", None)


def test_signals(shell: Shell) -> None:
    script = "trap 'echo got; exit 7' USR1; echo ready; while :; do sleep 0.02; done"
    with shell.start(script, stdout=PIPE) as process:
        read_until(process, b"ready\n")
        process.send_signal(signal.SIGUSR1)
        assert process.wait(60) == 7

    assert process.exit_cause == Exited(7)
    process.send_signal(signal.SIGUSR1)


def test_terminate_sends_the_stop_signal(shell: Shell) -> None:
    script = "trap 'exit 3' TERM; trap 'exit 4' QUIT; echo ready; while :; do sleep 0.02; done"
    for options, code in (({}, 3), ({"stop_signal": "SIGQUIT"}, 4)):
        with shell.start(script, stdout=PIPE, **options) as process:
            read_until(process, b"ready\n")
            process.terminate()
            assert process.wait(60) == code


def test_an_init_passes_signals_on_and_reaps(shell: Shell) -> None:
    with shell.engine.popen(shell.image, ["sleep", "1000"], init=True) as process:
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM

    shown = shell.sh(
        "echo $$; (setsid sleep 0.05 &) ; sleep 0.5; ps | grep -c '[Zz]ombie\\|\\[sleep\\]' || true", init=True
    )
    assert shown.split() == ["2", "0"]


def test_leaving_the_block_ends_all(shell: Shell) -> None:
    with shell.start("setsid sleep 1000 & sleep 1000") as process:
        namespace = os.readlink(f"/proc/{process.pid}/ns/pid")

    assert process.exit_cause == Cancelled(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert processes_in(namespace) == []


def test_closing_the_engine_ends_all(public_directory: Any, image: str, root_or_user: str, tmp_path: Any) -> None:
    with Engine(public_directory / f"closing-{os.getpid()}") as engine:
        processes = [engine.popen(image, ["sleep", "1000"]) for _ in range(3)]
    engine.close()

    assert [process.returncode for process in processes] == [-signal.SIGKILL] * 3
    with pytest.raises(PyrtError, match="closed"):
        engine.run(image, ["true"])


def test_closing_the_engine_while_another_thread_waits(public_directory: Any, image: str, root_or_user: str) -> None:
    engine = Engine(public_directory / f"waiting-{os.getpid()}")
    results: list[int] = []
    started = threading.Event()

    def wait() -> None:
        results.append(
            engine.run(image, ["sh", "-c", "echo; sleep 1000"], on_stdout=lambda _: started.set()).returncode
        )

    thread = threading.Thread(target=wait)
    thread.start()
    assert started.wait(60)
    engine.close()
    thread.join(60)

    assert results == [-signal.SIGKILL]


def test_a_forgotten_process_warns_and_ends(shell: Shell) -> None:
    process = shell.start("sleep 1000")
    pid = process.pid
    shell.engine._rooms.launcher._running.discard(process)

    with pytest.warns(ResourceWarning, match="still running"):
        del process
        gc.collect()
    assert not os.path.exists(f"/proc/{pid}")


def test_a_forgotten_engine_warns(public_directory: Any, root_or_user: str) -> None:
    engine = Engine(public_directory / f"forgotten-{os.getpid()}")

    with pytest.warns(ResourceWarning, match="not closed"):
        del engine
        gc.collect()


def test_usage_while_it_runs_and_after(shell: Shell) -> None:
    with shell.start("echo ready; read go", stdin=PIPE, stdout=PIPE) as process:
        read_until(process, b"ready\n")
        during = process.usage()
    after = process.usage()

    assert process.usage() is after
    if os.geteuid() == 0:
        assert 0 < (during.cpu_ns or 0) <= (after.cpu_ns or 0)
        assert (during.memory_bytes or 0) > 0


def test_many_threads_at_once(shell: Shell) -> None:
    def one(number: int) -> tuple[int, str]:
        done = shell.run("sh", "-c", f"echo {number}; exit {number}")
        return done.returncode, done.stdout

    with ThreadPoolExecutor(64) as pool:
        found = list(pool.map(one, range(128)))

    assert found == [(number, f"{number}\n") for number in range(128)]


def test_a_process_waited_for_by_many_threads(shell: Shell) -> None:
    with shell.start("sleep 0.2; exit 6") as process, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: process.wait(60), range(8))) == [6] * 8


def test_a_signal_that_the_program_sends_itself(shell: Shell) -> None:
    done = shell.run("sh", "-c", "sh -c 'kill -USR1 $$'; echo $?")
    assert done.stdout == f"{128 + signal.SIGUSR1}\n"

    with shell.start("sleep 1000") as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(60)
    assert process.exit_cause == Signalled(signal.SIGKILL)
