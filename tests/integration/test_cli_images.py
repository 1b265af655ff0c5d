"""The verbs on images as a shell calls them: texts, exit codes, terminals, Ctrl-C. The words are docker's."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from pyrt.oci.digest import Digest
from tests.hosts import eventually
from tests.images import MemoryMedium, add_image, tar
from tests.programs import Program
from tests.registries import Fault, ScriptedRegistry
from tests.terminal import Terminal

TOP = Path(__file__).resolve().parents[2]
IDENTIFIER = "sha256:"


class Pyrt:
    """Calls the command line on an engine root of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {**os.environ, "PYRT_ROOT": str(root), "PYTHONPATH": str(TOP), "TERM": "xterm"}
        self.command = [sys.executable, "-m", "pyrt"]

    def __call__(self, *words: str, input: bytes = b"") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self.command, *words], input=input, capture_output=True, env=self.environment, timeout=60
        )
        return subprocess.CompletedProcess(words, done.returncode, done.stdout.decode(), done.stderr.decode())

    def ok(self, *words: str, input: bytes = b"") -> str:
        done = self(*words, input=input)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def popen(self, *words: str) -> Program[str]:
        return Program(
            [*self.command, *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def pyrt(tmp_path: Path) -> Pyrt:
    return Pyrt(tmp_path / "root")


@pytest.fixture
def registry(scripted: ScriptedRegistry) -> ScriptedRegistry:
    """A registry that has box:1, an image of two layers."""
    layers = [tar({"etc/one": b"1"}), tar({"etc/two": b"2"})]
    medium = MemoryMedium()
    manifest = add_image(medium, layers)
    scripted.blobs |= {str(digest): content for digest, content in medium.blobs.items()}
    scripted.add_manifest("box", "1", manifest.media_type, manifest.raw)
    return scripted


def archive_of(*names: str) -> bytes:
    """Make what docker save writes, of one layer, with these names."""
    layer = tar({"file": b"x"})
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "2020-01-01T00:00:00Z",
            "config": {"Cmd": ["x"]},
            "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(layer))]},
            "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "ADD\tfile " + "z" * 60, "comment": "why"}],
        }
    ).encode()
    manifest = [{"Config": "config.json", "RepoTags": list(names), "Layers": ["layer.tar"]}]
    files = {"config.json": config, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()}
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def test_pull_speaks_as_docker_does(pyrt: Pyrt, registry: ScriptedRegistry) -> None:
    name = f"{registry.host}/box:1"

    first, second = pyrt.ok("pull", name).splitlines(), pyrt.ok("pull", name).splitlines()

    digest = next(which for _, which in registry.manifests if which.startswith(IDENTIFIER))
    ends = [f"Digest: {digest}", f"Status: Downloaded newer image for {name}", name]
    assert (first[0], first[-3:]) == ("1: Pulling from box", ends)
    steps = sorted(line.partition(": ")[2] for line in first[1:-3])
    assert steps == sorted(["Pulling fs layer", "Download complete", "Pull complete"] * 2)
    assert second == [first[0], ends[0], f"Status: Image is up to date for {name}", name]
    assert pyrt.ok("pull", "--quiet", name) == f"{name}\n"


def test_a_pull_of_what_is_not_there_says_why(pyrt: Pyrt, registry: ScriptedRegistry) -> None:
    done = pyrt("pull", f"{registry.host}/nothing")

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "Using default tag: latest\n", 1)
    assert f"{registry.host}/nothing:latest" in done.stderr
    assert pyrt("pull", "-a", f"{registry.host}/box:1").stderr == "pyrt: tag can't be used with --all-tags/-a\n"
    assert pyrt("pull", "UPPER").returncode == 1


def test_push_speaks_as_docker_does(pyrt: Pyrt, registry: ScriptedRegistry) -> None:
    pyrt.ok("load", "-q", input=archive_of("some:1"))
    name = f"{registry.host}/some:new"
    pyrt.ok("tag", "some:1", name)

    lines = pyrt.ok("push", name).splitlines()

    assert lines[0] == f"The push refers to repository [{registry.host}/some]"
    assert lines[-1].startswith(f"new: digest: {IDENTIFIER}")
    assert "Pushed" in {line.partition(": ")[2] for line in lines}
    assert pyrt.ok("push", "-q", name) == f"{name}\n"
    assert pyrt("push", f"{registry.host}/nothing").returncode == 1


def test_load_tells_the_names_of_the_archive(pyrt: Pyrt) -> None:
    assert pyrt.ok("load", input=archive_of("some:1", "other")) == "Loaded image: some:1\nLoaded image: other:latest\n"
    assert pyrt.ok("load", input=archive_of("some:1")) == "Loaded image: some:1\n"  # though it has another name here
    assert pyrt.ok("load", input=archive_of()).startswith(f"Loaded image ID: {IDENTIFIER}")


def test_lists_are_dockers(pyrt: Pyrt) -> None:
    pyrt.ok("load", input=archive_of("some:1", "some:2", "localhost:5000/other:1"))
    id = pyrt.ok("inspect", "-f", "{{.Id}}", "some:1").strip()
    short = id[7:19]

    heading, *rows = pyrt.ok("images").splitlines()
    assert heading.startswith("REPOSITORY             TAG       IMAGE ID       CREATED")
    assert [line[:45] for line in rows] == [
        f"localhost:5000/other   1         {short}",
        f"some                   1         {short}",
        f"some                   2         {short}",
    ]
    assert all("years ago" in line and line.endswith("B") for line in rows)
    assert pyrt.ok("images", "-q") == f"{short}\n" * 3
    assert pyrt.ok("images", "-q", "--no-trunc", "some:2") == f"{id}\n"
    assert pyrt.ok("images", "--format", "{{.Repository}}:{{.Tag}}", "some") == "some:1\nsome:2\n"
    assert pyrt.ok("images", "--filter", "reference=*:1", "--format", "{{.Repository}}") == "some\n"
    assert pyrt.ok("images", "nothing") == "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n"
    assert pyrt("images", "--filter", "nonsense=1").returncode == 1


def test_history_is_dockers(pyrt: Pyrt) -> None:
    pyrt.ok("load", input=archive_of("some:1"))
    short = pyrt.ok("images", "-q").strip()

    heading, row = pyrt.ok("history", "-H=false", "some:1").splitlines()

    created_by = "ADD file " + "z" * 35 + "…"
    assert heading == f"IMAGE          CREATED AT             {'CREATED BY':48}SIZE      COMMENT"
    assert row.startswith(f"{short}   2020-01-01T00:00:00Z   {created_by}   ")
    assert row.endswith("   why")
    assert pyrt.ok("history", "-q", "some:1") == f"{short}\n"
    assert "z" * 60 in pyrt.ok("history", "--no-trunc", "--format", "{{.CreatedBy}}", "some:1")


def test_inspect_shows_what_there_is_and_names_what_is_not(pyrt: Pyrt) -> None:
    pyrt.ok("load", input=archive_of("some:1"))

    both = pyrt("inspect", "some:1", "nothing")
    none = pyrt("image", "inspect", "nothing")

    assert (both.returncode, [each["RepoTags"] for each in json.loads(both.stdout)]) == (1, [["some:1"]])
    assert both.stderr.startswith("pyrt: no such object: nothing")
    assert (none.returncode, none.stdout) == (1, "[]\n")
    form = "{{.Config.Labels}} {{.Config.Cmd}} {{json .Config.Env}} {{.Config.User}}|"
    assert pyrt.ok("inspect", "-f", form, "some:1") == "map[] [x] null |\n"
    assert pyrt("inspect", "-f", "{{.Nope}}", "some:1").returncode == 1


def test_rmi_goes_on_after_what_is_not_there(pyrt: Pyrt) -> None:
    pyrt.ok("load", input=archive_of("some:1", "some:2"))
    id = pyrt.ok("inspect", "-f", "{{.Id}}", "some:1").strip()

    done = pyrt("rmi", "nothing", "some:1")

    assert (done.returncode, done.stdout) == (1, "Untagged: some:1\n")
    assert done.stderr.startswith("pyrt: no such image: nothing")
    assert pyrt("rmi", "-f", "nothing").returncode == 0
    lines = pyrt.ok("rmi", "some:2").splitlines()
    assert lines[:2] == ["Untagged: some:2", f"Deleted: {id}"]
    assert all(line.startswith(f"Deleted: {IDENTIFIER}") for line in lines[2:])


def test_tag_refuses_what_is_no_name(pyrt: Pyrt) -> None:
    pyrt.ok("load", input=archive_of("some:1"))

    assert pyrt.ok("tag", "some:1", "other") == ""
    for words in (["nothing", "x"], ["some:1", "UPPER"], ["some:1", "x:y:z"], ["some:1", f"x@{IDENTIFIER}{'0' * 64}"]):
        done = pyrt("tag", *words)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)


def test_prune_asks_and_takes_only_yes(pyrt: Pyrt) -> None:
    pyrt.ok("import", "-", input=tar({"file": b"x"}))
    question = "WARNING! This will remove all dangling images.\nAre you sure you want to continue? [y/N] "

    assert pyrt.ok("image", "prune", input=b"") == question
    assert pyrt.ok("image", "prune", input=b"n\n") == question
    assert pyrt.ok("images", "-q").count("\n") == 1
    said = pyrt.ok("image", "prune", input=b"y\n")
    assert said.startswith(f"{question}Deleted Images:\ndeleted: {IDENTIFIER}")
    assert pyrt.ok("image", "prune", "--force") == "Total reclaimed space: 0B\n"
    assert pyrt("image", "prune", "-f", "--filter", "nonsense=1").returncode == 1


def test_an_archive_is_not_for_a_terminal(pyrt: Pyrt) -> None:
    for words in (["save", "some:1"], ["load"]):
        with Terminal([*pyrt.command, *words], pyrt.environment) as terminal:
            assert terminal.end() == 1
            assert b"terminal" in terminal.said


def test_files_that_are_not_there_are_named(pyrt: Pyrt) -> None:
    for words in (["load", "-i", "/nothing"], ["import", "/nothing"]):
        done = pyrt(*words)
        assert (done.returncode, done.stderr) == (1, "pyrt: /nothing: No such file or directory\n")


def test_a_pipe_that_nobody_reads_shows_no_traceback(pyrt: Pyrt) -> None:
    pyrt.ok("load", input=archive_of(*(f"some:{number}" for number in range(2000))))
    with pyrt.popen("images") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()

    assert said == ""
    assert process.returncode == 1


def test_bars_are_drawn_on_a_terminal(pyrt: Pyrt, registry: ScriptedRegistry) -> None:
    with Terminal([*pyrt.command, "pull", f"{registry.host}/box:1"], pyrt.environment, (40, 120)) as terminal:
        assert terminal.end() == 0
        assert terminal.said.count(b"Pull complete") >= 2
        assert "━".encode() in terminal.said
        assert terminal.said.rfind(b"\x1b[?25h") > terminal.said.rfind(b"\x1b[?25l")  # the cursor is shown again
        assert terminal.attributes() == terminal.cooked


def test_a_pull_that_fails_leaves_the_terminal_in_order(pyrt: Pyrt, registry: ScriptedRegistry) -> None:
    registry.faults.append(Fault(path="/blobs/", after=2, times=100, status=404))
    with Terminal([*pyrt.command, "pull", f"{registry.host}/box:1"], pyrt.environment, (40, 120)) as terminal:
        assert terminal.end() == 1
        assert terminal.said.rfind(b"\x1b[?25h") > terminal.said.rfind(b"\x1b[?25l")
        assert b"pyrt: " in terminal.said
        assert terminal.attributes() == terminal.cooked
    assert pyrt.ok("images", "-q") == ""


@pytest.mark.parametrize("words", [["pull"], ["run"]])
def test_ctrl_c_ends_a_pull_and_leaves_nothing(pyrt: Pyrt, registry: ScriptedRegistry, words: list[str]) -> None:
    registry.faults.append(Fault(method="GET", path="/blobs/", after=1, times=100, stall_after=10))
    with pyrt.popen(*words, f"{registry.host}/box:1") as process:
        eventually(lambda: len(registry.asked("GET", "/blobs/")) >= 2, "no layer is asked for")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "Traceback" not in out + err
    assert pyrt.ok("images", "-q") == ""
    half_made = [pyrt.root / name for name in ("content/ingest", "layers/staging", "stage")]
    assert [path for directory in half_made for path in directory.glob("*")] == []


def test_run_shows_the_pull_on_stderr(pyrt: Pyrt, registry: ScriptedRegistry) -> None:
    done = pyrt("run", f"{registry.host}/box:1")
    quiet = pyrt("run", "--quiet", "--pull", "always", f"{registry.host}/box:1")

    assert done.stdout == ""
    assert done.stderr.startswith(f"Pulling {registry.host}/box:1\n")
    assert "Pull complete" in done.stderr
    assert done.returncode == quiet.returncode == 127  # there is no /bin/true in it
    assert quiet.stderr.count("\n") == 1


def test_run_never_pulls_when_told_so(pyrt: Pyrt, registry: ScriptedRegistry) -> None:
    done = pyrt("run", "--pull", "never", f"{registry.host}/box:1")

    assert (done.returncode, registry.seen) == (125, [])
    assert done.stderr.startswith(f"pyrt: no such image: {registry.host}/box:1")
