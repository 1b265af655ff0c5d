"""The verbs of containers as a shell calls them: texts, exit codes, streams, signals. The words are docker's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pyrt import Engine
from tests.hosts import TOP, eventually
from tests.kept_engine import IMAGE, kept_engine
from tests.programs import Program

pytestmark = pytest.mark.needs("overlay")
FOREVER = ("sleep", "1000")


class Pyrt:
    """Calls the command line on an engine root that has an image."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.environment = {**os.environ, "PYRT_ROOT": str(engine.root), "PYTHONPATH": str(TOP), "TERM": "xterm"}
        self.command = [sys.executable, "-m", "pyrt"]

    def __call__(self, *words: str, input: bytes = b"", **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**self.environment, **variables}
        done = subprocess.run([*self.command, *words], input=input, capture_output=True, env=environment, timeout=60)
        return subprocess.CompletedProcess(words, done.returncode, done.stdout.decode(), done.stderr.decode())

    def ok(self, *words: str, input: bytes = b"", **variables: str) -> str:
        done = self(*words, input=input, **variables)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def popen(self, *words: str, stdin: int = subprocess.DEVNULL) -> Program[bytes]:
        command, pipe = [*self.command, *words], subprocess.PIPE
        return Program(command, env=self.environment, stdin=stdin, stdout=pipe, stderr=pipe)

    def run(self, name: str, *words: str, flags: tuple[str, ...] = ()) -> str:
        return self.ok("run", "-d", "--name", name, *flags, IMAGE, *words).strip()


@pytest.fixture
def pyrt(public_directory: Path, public_rootfs: Path) -> Iterator[Pyrt]:
    with kept_engine(public_directory, public_rootfs) as engine:
        yield Pyrt(engine)


def test_a_life(pyrt: Pyrt) -> None:
    id = pyrt.ok("create", "--name", "box", IMAGE, "sh", "-c", "echo out; exit 3").strip()

    assert len(id) == 64
    assert pyrt.ok("ps", "-q") == ""
    assert pyrt.ok("ps", "-aq") == f"{id[:12]}\n"
    assert pyrt.ok("ps", "-a", "--format", "{{.Names}}: {{.Status}}") == "box: Created\n"
    assert pyrt.ok("start", "box") == "box\n"
    assert pyrt.ok("wait", "box") == "3\n"
    assert pyrt.ok("ps", "-a", "--format", "{{.Status}}").startswith("Exited (3) ")
    assert pyrt.ok("rename", "box", "tub") == ""
    assert pyrt.ok("rm", "tub") == "tub\n"
    assert pyrt.ok("ps", "-a").splitlines()[1:] == []


@pytest.mark.needs("root")
def test_what_is_paused(pyrt: Pyrt) -> None:
    pyrt.run("box", *FOREVER)

    assert pyrt.ok("pause", "box") == "box\n"
    assert pyrt.ok("ps", "--format", "{{.Status}}").endswith(" (Paused)\n")
    refused = pyrt("attach", "box")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "paused container, unpause it first" in refused.stderr
    assert pyrt.ok("container", "unpause", "box") == "box\n"
    assert not pyrt.ok("ps", "--format", "{{.Status}}").endswith(" (Paused)\n")


def test_what_runs_is_stopped_killed_and_started_again(pyrt: Pyrt) -> None:
    def status() -> str:
        return pyrt.ok("ps", "-a", "--format", "{{.Status}}").strip()

    pyrt.run("box", *FOREVER)
    assert status().startswith("Up ")
    assert pyrt.ok("restart", "-t", "0", "box") == "box\n"
    assert pyrt.ok("kill", "-s", "KILL", "box") == "box\n"
    assert status().startswith("Exited (137) ")
    assert pyrt("kill", "box").returncode == 1
    assert pyrt.ok("start", "box") == "box\n"
    assert pyrt.ok("stop", "--timeout=0", "box") == "box\n"
    assert status().startswith("Exited (137) ")


def test_each_of_several_is_attempted(pyrt: Pyrt) -> None:
    pyrt.run("one", *FOREVER)
    pyrt.run("two", *FOREVER)

    done = pyrt("stop", "-t", "0", "one", "nothing", "two")

    assert (done.returncode, done.stdout) == (1, "one\ntwo\n")
    assert done.stderr == "pyrt: nothing: there is no container of this name or id\n"


@pytest.mark.parametrize("names", [["one"], ["one", "two"]])
def test_who_waits_can_be_interrupted(pyrt: Pyrt, names: list[str]) -> None:
    for name in names:
        pyrt.run(name, *FOREVER)

    with pyrt.popen("wait", *names) as process:
        eventually(lambda: connections(process.pid) == len(names), "it does not wait for all")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


def connections(pid: int) -> int:
    """Count the sockets of a process: one for each monitor that it listens to."""
    found = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found += os.readlink(each).startswith("socket:")
    return found


def test_rm(pyrt: Pyrt) -> None:
    pyrt.run("box", *FOREVER)

    refused, forced, none = pyrt("rm", "box"), pyrt("rm", "-fv", "box"), pyrt("rm", "-f", "box")

    assert (refused.returncode, refused.stdout) == (1, "")
    assert "stop it first, or force the removal" in refused.stderr
    assert (forced.returncode, forced.stdout) == (0, "box\n")
    assert (none.returncode, none.stdout) == (0, "")
    assert pyrt("rm", "box").returncode == 1


def test_a_detached_run_and_its_end(pyrt: Pyrt, tmp_path: Path) -> None:
    note = tmp_path / "id"

    id = pyrt.ok("run", "-d", "--rm", "--cidfile", str(note), IMAGE, "cat").strip()

    assert note.read_text() == id
    eventually(lambda: pyrt.ok("ps", "-aq") == "", "it is not removed at its end")
    again = pyrt("run", "-d", "--cidfile", str(note), IMAGE, "cat")
    assert again.returncode == 125
    assert "File exists" in again.stderr


def test_what_cannot_be_run_is_said_with_dockers_exit_codes(pyrt: Pyrt, tmp_path: Path) -> None:
    note = tmp_path / "id"
    missing = pyrt("run", "-d", "--rm", IMAGE, "nothing")
    created = pyrt("create", "--pull", "never", "--cidfile", str(note), "nothing:1")

    assert (missing.returncode, missing.stdout) == (127, "")
    assert (created.returncode, created.stdout) == (1, "")
    assert not note.exists()
    assert pyrt("create", "--nothing", IMAGE).returncode == 125
    pyrt.ok("create", "--name", "box", IMAGE, "nothing")
    assert [pyrt("start", *flags, "box").returncode for flags in ((), ("-a",))] == [1, 1]
    assert pyrt.ok("ps", "-aq") != ""


def test_start_attached_has_all_output_and_the_exit_code(pyrt: Pyrt) -> None:
    pyrt.ok("create", "--name", "box", IMAGE, "sh", "-c", "echo out; echo err >&2; exit 5")

    for _ in range(3):
        done = pyrt("start", "-a", "box")
        assert (done.returncode, done.stdout, done.stderr) == (5, "out\n", "err\n")


def test_input_and_output_do_not_wait_for_each_other(pyrt: Pyrt) -> None:
    sent = os.urandom(2 << 20)
    pyrt.ok("create", "-i", "--name", "box", IMAGE, "cat")

    command = [*pyrt.command, "start", "-ai", "box"]
    done = subprocess.run(command, input=sent, capture_output=True, env=pyrt.environment, timeout=60)

    assert (done.returncode, done.stdout == sent) == (0, True)


def test_the_input_of_a_detached_container_outlives_its_clients(pyrt: Pyrt) -> None:
    pyrt.run("box", "sh", "-c", "while read line; do echo got $line; done", flags=("-i",))

    for word in (b"one\n", b"two\n"):
        with pyrt.popen("attach", "box", stdin=subprocess.PIPE) as process:
            assert process.stdin and process.stdout
            process.stdin.write(word)
            process.stdin.close()
            assert process.stdout.readline() == b"got " + word
            process.kill()
    assert pyrt.ok("ps", "-q") != ""


def test_what_cannot_be_attached_to(pyrt: Pyrt) -> None:
    pyrt.run("box", *FOREVER)
    pyrt.ok("stop", "-t", "0", "box")

    done = pyrt("attach", "box")

    assert (done.returncode, done.stdout) == (1, "")
    assert "stopped container, start it first" in done.stderr
    several = pyrt("start", "-a", "box", "box")
    assert "you cannot start and attach multiple containers at once" in several.stderr


def test_what_another_command_runs_is_left_to_it(pyrt: Pyrt) -> None:
    with pyrt.popen("run", "--rm=false", "--name", "box", IMAGE, "sh", "-c", "echo ready; sleep 1000") as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        refused = [pyrt(verb, "box") for verb in ("attach", "stop", "kill", "pause", "top")]
        process.kill()
    assert [(done.returncode, done.stdout) for done in refused] == [(1, "")] * 5
    assert all("it is run by a program that waits for it" in done.stderr for done in refused)
    eventually(lambda: pyrt.ok("ps", "-q") == "", "it goes on without who runs it")
    assert pyrt.ok("ps", "-a", "--format", "{{.Status}}") == "Exited\n"


def test_signals_reach_the_program(pyrt: Pyrt) -> None:
    script = "trap 'echo usr' USR1; trap 'exit 9' TERM; echo ready; while :; do sleep 0.02; done"
    pyrt.ok("create", "--name", "box", IMAGE, "sh", "-c", script)

    with pyrt.popen("start", "-a", "box") as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == b"usr\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 9


def test_without_sig_proxy_a_signal_ends_the_command_alone(pyrt: Pyrt) -> None:
    pyrt.run("box", "sh", "-c", "while :; do echo tick; sleep 0.02; done")

    with pyrt.popen("attach", "--sig-proxy=false", "box") as process:
        assert process.stdout
        assert process.stdout.readline() == b"tick\n"
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(30) == 128 + signal.SIGTERM
    assert pyrt.ok("ps", "-q") != ""


def test_a_reader_that_leaves_does_not_end_the_container(pyrt: Pyrt) -> None:
    pyrt.run("box", "sh", "-c", "while :; do echo tick; sleep 0.02; done")

    with pyrt.popen("attach", "box") as process:
        assert process.stdout
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 1
    assert pyrt.ok("ps", "-q") != ""


def test_ps_lists_as_docker_does(pyrt: Pyrt) -> None:
    pyrt.ok("create", "--name", "old", "-l", "a=1", IMAGE, "echo", "two words", "x" * 20)
    pyrt.run("run", *FOREVER)

    titles, row = pyrt.ok("ps", "-n", "1").splitlines()
    assert titles.split("  ")[0] == "CONTAINER ID"
    assert [each.strip() for each in titles.split("   ") if each][1:] == [
        *("IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"),
    ]
    assert row.split()[1:4] == [IMAGE, '"sleep', '1000"']
    assert pyrt.ok("ps", "-a", "--format", "{{.Names}}") == "run\nold\n"
    assert pyrt.ok("ps", "-l", "--format", "{{.Names}}") == "run\n"
    assert pyrt.ok("ps", "--filter", "status=created", "--format", "{{.Command}}") == "\"echo 'two words' xx…\"\n"
    assert json.loads(pyrt.ok("ps", "--format", "json"))["State"] == "running"
    labels = pyrt.ok("ps", "-a", "--no-trunc", "--filter", "label=a=1", "--format", "table {{.Labels}}\\t{{.Command}}")
    assert labels == f"LABELS    COMMAND\na=1       \"echo 'two words' {'x' * 20}\"\n"
    assert pyrt("ps", "--filter", "nothing=1").returncode == 1


def test_inspect_knows_containers_and_images(pyrt: Pyrt) -> None:
    id = pyrt.run("box", *FOREVER, flags=("--restart", "on-failure:2", "-l", "a=1"))

    form = '{{.Name}} {{.State.Running}} {{.HostConfig.RestartPolicy.MaximumRetryCount}} {{index .Config.Labels "a"}}'
    assert pyrt.ok("inspect", "-f", form, "box") == "/box true 2 1\n"
    assert json.loads(pyrt.ok("container", "inspect", id[:8]))[0]["Id"] == id
    both = pyrt("inspect", "-f", "{{.Id}}", "box", IMAGE, "nothing")
    assert (both.returncode, both.stderr) == (1, "pyrt: no such object: nothing\n")
    assert both.stdout.splitlines()[0] == id
    assert both.stdout.splitlines()[1].startswith("sha256:")
    assert pyrt("inspect", "--type", "image", "box").returncode == 1
    assert pyrt("container", "inspect", IMAGE).returncode == 1


def test_top(pyrt: Pyrt) -> None:
    pyrt.run("box", *FOREVER)

    titles, row = pyrt.ok("top", "box").splitlines()

    assert titles.split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert row.endswith("sleep 1000")
    assert pyrt.ok("top", "box", "-o", "comm").splitlines()[1].strip() == "sleep"
    assert pyrt("top", "box", "--forest").returncode == 1


@pytest.mark.needs("root")
def test_stats_and_update(pyrt: Pyrt) -> None:
    pyrt.run("box", *FOREVER, flags=("-m", "64m"))
    pyrt.ok("create", "--name", "other", IMAGE)

    assert pyrt.ok("update", "-m", "32m", "--restart", "always", "box") == "box\n"
    found = json.loads(pyrt.ok("stats", "--no-stream", "--format", "json", "box"))
    rows = pyrt.ok("stats", "-a", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}}").splitlines()

    assert found["MemUsage"].endswith(" / 32MiB")
    assert (found["Name"], found["PIDs"]) == ("box", "1")
    assert rows[0] == "other -- -- / --"
    assert rows[1].startswith("box ")
    assert pyrt.ok("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", "box") == "always\n"
    assert pyrt("update", "box").returncode == 1
    assert pyrt("update", "--cpus", "9999", "box").returncode == 1


@pytest.mark.needs("root")
def test_stats_go_on_until_they_are_interrupted(pyrt: Pyrt) -> None:
    pyrt.run("box", *FOREVER)
    with pyrt.popen("stats", "--format", "{{.Name}}") as process:
        assert process.stdout
        assert [process.stdout.readline() for _ in range(2)] == [b"box\n"] * 2
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


def test_prune_asks(pyrt: Pyrt) -> None:
    id = pyrt.ok("create", "--name", "old", IMAGE).strip()
    pyrt.run("run", *FOREVER)

    asked = pyrt.ok("container", "prune", input=b"n\n")
    assert asked.startswith("WARNING! This will remove all stopped containers.")
    assert pyrt.ok("container", "prune", "-f") == f"Deleted Containers:\n{id}\n"
    assert pyrt.ok("ps", "-a", "--format", "{{.Names}}") == "run\n"


def test_a_boot_starts_what_is_always_to_run(pyrt: Pyrt) -> None:
    pyrt.run("box", *FOREVER, flags=("--restart", "always"))
    pyrt.run("other", *FOREVER, flags=("--restart", "unless-stopped"))
    pyrt.ok("stop", "-t", "0", "box", "other")

    assert pyrt.ok("system", "boot") == "box\n"
    assert pyrt.ok("ps", "--format", "{{.Names}}") == "box\n"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("pyrt stop ", {"box", "bin"}),
        ("pyrt container rm bi", {"bin"}),
        ("pyrt inspect b", {"box", "bin"}),
        ("pyrt rmi exam", {IMAGE}),
        ("pyrt run exam", {IMAGE}),
        ("pyrt create --rest", {"--restart"}),
        ("pyrt unpa", {"unpause"}),
    ],
)
def test_a_shell_completes_names(pyrt: Pyrt, words: str, found: set[str]) -> None:
    pyrt.ok("create", "--name", "box", IMAGE)
    pyrt.ok("create", "--name", "bin", IMAGE)

    done = pyrt.ok(COMP_WORDS=words, COMP_CWORD=str(words.count(" ")), _PYRT_COMPLETE="bash_complete")

    assert {line.partition(",")[2] for line in done.split()} == found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_its_script(pyrt: Pyrt, shell: str) -> None:
    script = pyrt.ok("completion", shell)

    assert "_PYRT_COMPLETE" in script
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=script.encode(), timeout=30).returncode == 0


def test_every_verb_has_its_help(pyrt: Pyrt) -> None:
    from pyrt.cli import container, verbs

    for group, names in ((), verbs.VERBS), (("container",), container.VERBS):
        for name in names:
            assert "Usage: pyrt" in pyrt.ok(*group, name, "--help"), name
