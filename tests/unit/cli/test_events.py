from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyrt import Engine
from pyrt.state import EventLog

TOP = Path(__file__).resolve().parents[3]
ID = "4f" * 32


def pyrt(root: Path, *words: str, zone: str = "UTC") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pyrt", "events", *words]
    environment = {**os.environ, "PYRT_ROOT": str(root), "TZ": zone}
    return subprocess.run(command, cwd=TOP, env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    line = {
        "Type": "container",
        "Action": "die",
        "Actor": {"ID": ID, "Attributes": {"name": "web", "image": "alpine", "exitCode": "0"}},
        "scope": "local",
        "time": 1700000000,
        "timeNano": 1700000000000000001,
    }
    (tmp_path / "events").write_text(json.dumps(line) + "\n")
    EventLog(tmp_path).append("image", "pull", "alpine\x1b[2J")
    return tmp_path


def test_lines_are_dockers(root: Path) -> None:
    done = pyrt(root, "--until", "1700000001")

    assert (done.returncode, done.stderr) == (0, "")
    attributes = "exitCode=0, image=alpine, name=web"
    assert done.stdout == f"2023-11-14T22:13:20.000000001Z container die {ID} ({attributes})\n"


def test_times_are_local(root: Path) -> None:
    assert pyrt(root, "--until", "1700000001", zone="IST-5:30").stdout.startswith(
        "2023-11-15T03:43:20.000000001+05:30 "
    )


def test_no_name_is_obeyed_by_a_terminal(root: Path) -> None:
    done = pyrt(root, "--since", "1h", "--until", "-0.1s")

    assert done.stdout.endswith(" image pull alpine\\x1b[2J\n")


def test_json_is_dockers(root: Path) -> None:
    document = json.loads(pyrt(root, "--until", "1700000001", "--format", "json").stdout)

    assert document["status"] == document["Action"] == "die"
    assert document["from"] == "alpine"
    assert document["Actor"]["Attributes"]["exitCode"] == "0"


def test_templates_have_dockers_fields(root: Path) -> None:
    form = "{{.Type}} {{.Status}} {{.ID}} {{.From}} {{.Actor.Attributes.name}} {{.Actor.Attributes.none}} {{.Time}}"
    done = pyrt(root, "--filter", "type=container", "--until", "1700000001", "--format", form)

    assert done.stdout == f"container die {ID} alpine web <no value> 1700000000\n"


@pytest.mark.parametrize(
    "words", [["--format", "{{.Nope}}"], ["--filter", "nope=1"], ["--since", "yesterday"], ["--filter", "type"]]
)
def test_what_is_wrong_is_said(root: Path, words: list[str]) -> None:
    done = pyrt(root, "--until", "1700000001", *words)

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("pyrt: ")


def test_an_engine_gives_dicts_or_lines(root: Path) -> None:
    with Engine(root) as engine:
        with engine.events(until=1700000001) as events:
            documents = list(events)
        with engine.events(until=1700000001, decode=False) as lines:
            texts = list(lines)

    assert [document["Action"] for document in documents] == ["die"]
    assert [json.loads(text) for text in texts] == documents
