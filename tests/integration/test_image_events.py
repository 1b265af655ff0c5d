"""What is done to images shows in the events of the root, in docker's words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrt import Engine
from pyrt.errors import ImageNotFound
from pyrt.registry import RegistryOptions
from pyrt.state import EventLog
from tests.images import tar
from tests.registries import ScriptedRegistry


@pytest.fixture
def registry() -> Iterator[ScriptedRegistry]:
    registry = ScriptedRegistry()
    yield registry
    registry.close()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "root", registries=RegistryOptions(certificate_directories=())) as engine:
        yield engine


def events(engine: Engine) -> list[tuple[str, str, dict[str, str]]]:
    """Give the events so far, all of which are of images, and forget them."""
    found = list(EventLog(engine.root).read())
    assert {event.type for event in found} <= {"image"}
    (engine.root / "events").unlink(missing_ok=True)
    return [(event.action, event.id, dict(event.attributes)) for event in found]


def test_each_verb_is_an_event(engine: Engine, registry: ScriptedRegistry, tmp_path: Path) -> None:
    name = f"{registry.host}/box"
    image = engine.images.import_tar(tar({"a": b"1"}), name, "1", changes=["LABEL tier=db"])
    id = image.id
    assert events(engine) == [("import", id, {"name": id, "tier": "db"})]

    image.tag(name, "2")
    engine.images.push(name, "2")
    assert events(engine) == [
        ("tag", id, {"name": f"{name}:2", "tier": "db"}),
        ("push", f"{name}:2", {"name": name}),
    ]

    archive = tmp_path / "archive"
    image.save(archive)
    engine.images.save([f"{name}:2"], tmp_path / "other")
    assert events(engine) == [("save", id, {"name": id, "tier": "db"})] * 2

    engine.images.remove(f"{name}:1")
    assert events(engine) == [("untag", id, {"name": id})]
    image.remove(force=True)
    actions = [action for action, *_ in events(engine)]
    assert (actions[-1], set(actions[:-1])) == ("delete", {"untag"})

    engine.images.load(archive)
    assert events(engine) == [("load", id, {"name": id, "tier": "db"})]
    engine.images.pull(name, "2")
    assert events(engine) == [("pull", f"{name}:2", {"name": name, "tier": "db"})]
    engine.images.prune(all=True)
    assert [action for action, *_ in events(engine)][-1] == "delete"


def test_what_has_failed_is_no_event(engine: Engine, registry: ScriptedRegistry) -> None:
    with pytest.raises(ImageNotFound):
        engine.images.pull(f"{registry.host}/nothing")
    with pytest.raises(ImageNotFound):
        engine.images.remove("nothing")

    assert events(engine) == []
