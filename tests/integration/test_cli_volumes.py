"""The verbs on volumes as a shell calls them: texts, tables, exit codes. The words are docker's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]


class Pyrt:
    """Calls the command line on an engine root of its own."""

    def __init__(self, root: Path) -> None:
        self.environment = {**os.environ, "PYRT_ROOT": str(root), "PYTHONPATH": str(TOP)}
        self.root = root

    def __call__(self, *words: str, input: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pyrt", *words]
        return subprocess.run(command, input=input, capture_output=True, env=self.environment, timeout=60, text=True)

    def ok(self, *words: str, input: str = "") -> str:
        done = self(*words, input=input)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout


@pytest.fixture
def pyrt(tmp_path: Path) -> Pyrt:
    return Pyrt(tmp_path / "root")


def test_volumes_are_made_and_listed(pyrt: Pyrt) -> None:
    assert pyrt.ok("volume", "create", "--label", "a=b", "--label", "c", "one") == "one\n"
    assert pyrt.ok("volume", "create", "-d", "local", "-o", "type=tmpfs", "--opt", "device=tmpfs", "two") == "two\n"
    anonymous = pyrt.ok("volume", "create").strip()

    rows = ["DRIVER    VOLUME NAME", *(f"local     {name}" for name in sorted([anonymous, "one", "two"]))]
    assert pyrt.ok("volume", "ls").splitlines() == rows
    assert pyrt.ok("volume", "list", "-q", "-f", "label=a=b") == "one\n"
    assert pyrt.ok("volume", "ls", "-q", "--filter", "name=tw", "--filter", "driver=local") == "two\n"
    assert pyrt.ok("volume", "ls", "--format", "{{.Name}}: {{.Labels}}", "-f", "name=one") == "one: a=b,c=\n"
    row = json.loads(pyrt.ok("volume", "ls", "--format", "json", "-f", "name=two"))
    assert (row["Name"], row["Scope"], row["Size"]) == ("two", "local", "N/A")


def test_what_a_volume_is(pyrt: Pyrt) -> None:
    pyrt.ok("volume", "create", "--label", "a=b", "one")

    [document] = json.loads(pyrt.ok("volume", "inspect", "one"))
    assert list(document) == ["CreatedAt", "Driver", "Labels", "Mountpoint", "Name", "Options", "Scope"]
    assert (document["Labels"], document["Options"]) == ({"a": "b"}, None)
    assert document["Mountpoint"] == str(pyrt.root / "volumes/one/_data")
    template = "{{.Name}} {{.Labels.a}} {{.Labels.x}} {{.Options}} {{.UsageData.Size}}"
    assert pyrt.ok("volume", "inspect", "--size", "-f", template, "one") == "one b <no value> map[] 0\n"


def test_what_there_is_not(pyrt: Pyrt) -> None:
    pyrt.ok("volume", "create", "one")

    done = pyrt("volume", "inspect", "one", "none")
    assert (done.returncode, done.stderr) == (1, "pyrt: no such volume: none\n")
    assert [each["Name"] for each in json.loads(done.stdout)] == ["one"]
    done = pyrt("volume", "rm", "none", "one")
    assert (done.returncode, done.stdout, done.stderr) == (1, "one\n", "pyrt: no such volume: none\n")
    assert pyrt.ok("volume", "rm", "-f", "none") == "none\n"


def test_a_wrong_word_is_explained(pyrt: Pyrt) -> None:
    for words, part in (
        (("create", ".."), "no name of a volume"),
        (("create", "-o", "size=1g", "one"), "quotas"),
        (("create", "-d", "other", "one"), "no driver 'other'"),
        (("ls", "-f", "odd=1"), "no filter 'odd'"),
        (("ls", "-f", "dangling=maybe"), "true or false"),
    ):
        done = pyrt("volume", *words)
        assert done.returncode not in (0, 2), words
        assert part in done.stderr
    assert pyrt.ok("volume", "ls", "-q") == ""


def test_prune_takes_anonymous_ones_unless_told_more(pyrt: Pyrt) -> None:
    anonymous = pyrt.ok("volume", "create").strip()
    for name in ("one", "two"):
        pyrt.ok("volume", "create", "--label", name, name)

    refused = pyrt.ok("volume", "prune", input="n\n")
    assert refused.startswith("WARNING! This will remove anonymous local volumes not used by at least one container.\n")
    assert pyrt.ok("volume", "prune", "-f") == f"Deleted Volumes:\n{anonymous}\n\nTotal reclaimed space: 0B\n"
    assert "Deleted Volumes:\none\n" in pyrt.ok("volume", "prune", "--all", "--filter", "label!=two", input="y\n")
    assert pyrt.ok("volume", "prune", "-f", "--filter", "all=true").startswith("Deleted Volumes:\ntwo\n")


def test_copies(pyrt: Pyrt) -> None:
    pyrt.ok("volume", "create", "one")

    assert pyrt.ok("volume", "clone", "one", "two") == "two\n"
    assert pyrt.ok("volume", "snapshot", "one", "then") == "then\n"
    assert pyrt.ok("volume", "inspect", "-f", "{{.Status.SnapshotOf}}", "then") == "one\n"
    assert pyrt("volume", "clone", "one", "two").returncode == 1


@pytest.mark.needs("overlay")
def test_containers_mount_them(public_directory: Path, image: str, scratch: Path) -> None:
    scratch.chmod(0o711)
    pyrt = Pyrt(scratch / "root")
    run = ("run", "-v", "data:/data", "--mount", "type=volume,dst=/more,volume-label=a=b")

    assert pyrt.ok(*run, image, "sh", "-c", "echo x > /data/x; ls -d /more") == "/more\n"
    assert pyrt.ok("run", "-v", "data:/d:ro", image, "cat", "/d/x") == "x\n"
    assert pyrt.ok("volume", "ls", "-q") == "data\n"


@pytest.mark.needs("overlay", "root")
def test_rm_takes_anonymous_ones_along(image: str, scratch: Path) -> None:
    scratch.chmod(0o711)
    pyrt = Pyrt(scratch / "root")
    for name in ("one", "two"):
        pyrt.ok("run", "--rm=false", "--name", name, "-v", "/data", "-v", "kept:/kept", image, "true")
    assert len(pyrt.ok("volume", "ls", "-q").split()) == 3

    assert "in use by one, two" in pyrt("volume", "rm", "kept").stderr
    assert pyrt.ok("run", "--volumes-from", "one:ro", image, "ls", "-d", "/kept", "/data") == "/data\n/kept\n"
    assert pyrt.ok("rm", "-v", "one") == "one\n"
    assert len(pyrt.ok("volume", "ls", "-q").split()) == 2
    pyrt.ok("rm", "two")
    assert len(pyrt.ok("volume", "ls", "-q", "-f", "dangling=true").split()) == 2
