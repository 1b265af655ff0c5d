from __future__ import annotations

import json
import os
import stat
import threading
import time
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.errors import InvalidArgument, InvalidOption, SyscallError
from pyrt.state import Event, EventLog
from tests.unit.state.children import child

ID = "4f" * 32
APPEND = """
from pyrt.state import EventLog
log = EventLog(sys.argv[1], limit_bytes=120_000)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    log.append("container", "start", f"{sys.argv[2]}.{number}", {"name": "x" * 50})
"""
APPEND_AS_THE_MONITOR = """
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    line = ('{"Type":"container","Action":"die","Actor":{"ID":"%s.%d","Attributes":{"exitCode":"0"}},'
            '"scope":"local","time":1700000000,"timeNano":1700000000000000000}\\n' % (sys.argv[2], number))
    fd = os.open(sys.argv[1] + "/events", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, line.encode())
    os.close(fd)
"""


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    return EventLog(tmp_path)


def actions(log: EventLog, **options: Any) -> list[str]:
    return [event.action for event in log.read(**options)]


def test_an_event_is_dockers(log: EventLog, tmp_path: Path) -> None:
    event = log.append("container", "die", ID, {"exitCode": "0", "image": "alpine", "name": "web"})

    document = {
        "Type": "container",
        "Action": "die",
        "Actor": {"ID": ID, "Attributes": {"exitCode": "0", "image": "alpine", "name": "web"}},
        "scope": "local",
        "time": event.time_ns // 1_000_000_000,
        "timeNano": event.time_ns,
    }
    assert json.loads((tmp_path / "events").read_bytes()) == document
    assert (tmp_path / "events").read_bytes() == json.dumps(document, separators=(",", ":")).encode() + b"\n"
    assert event.attrs == {"status": "die", "id": ID, "from": "alpine", **document}
    assert json.loads(event.line) == event.attrs
    assert list(log.read()) == [event]
    assert stat.S_IMODE((tmp_path / "events").stat().st_mode) == 0o600


TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\\n{}'))


@given(TEXTS, TEXTS, TEXTS, st.dictionaries(TEXTS, TEXTS), st.integers(0, 2**63))
def test_an_event_comes_back(kind: str, action: str, id: str, attributes: dict[str, str], time_ns: int) -> None:
    event = Event(kind, action, id, attributes, time_ns)

    assert Event.from_json(event.to_json()) == event
    assert event.to_json().count(b"\n") == 1


def test_a_name_that_is_no_text_is_kept(log: EventLog) -> None:
    name = os.fsdecode(b"\xff")

    log.append("volume", "create", name)

    assert [event.id for event in log.read()] == [name]


@pytest.mark.parametrize(
    "garbage",
    [
        *(b"", b"7", b"[]", b"garbage", b"\xff\xfe", b'{"Type":"container"', b"[" * 100_000, b"{" * 1000),
        b'{"Type":"a","Action":"b","Actor":{"ID":"c","Attributes":{"d":1}},"timeNano":1}',
        b'{"Type":"a","Action":"b","Actor":"c","timeNano":1}',
        b'{"Type":"a","Action":"b","Actor":{"ID":"c"},"timeNano":true}',
        b'{"Type":1,"Action":"b","Actor":{"ID":"c"},"timeNano":1}',
    ],
)
def test_garbage_costs_no_other_event(log: EventLog, tmp_path: Path, garbage: bytes) -> None:
    log.append("container", "start", ID)
    with (tmp_path / "events").open("ab") as file:
        file.write(garbage + b"\n")
    log.append("container", "stop", ID)

    assert actions(log) == ["start", "stop"]


def test_an_event_after_one_that_was_cut_off_is_read(log: EventLog, tmp_path: Path) -> None:
    line = log.append("container", "start", ID, {"Type": "a label"}).to_json()
    for end in range(1, len(line) - 1):
        (tmp_path / "events").write_bytes(line[:end])
        log.append("container", "die", ID, {"Type": "a label"})
        assert actions(log) == ["die"], end


def test_a_torn_last_line_is_left_out_and_waited_for(log: EventLog, tmp_path: Path) -> None:
    line = log.append("container", "start", ID).to_json()
    (tmp_path / "events").write_bytes(line[:40])

    assert actions(log) == []
    with log.follow(since=0) as following:
        with (tmp_path / "events").open("ab") as file:
            file.write(line[40:])
        assert next(following).action == "start"


def test_two_files_are_kept(tmp_path: Path) -> None:
    log = EventLog(tmp_path, limit_bytes=1000)
    for number in range(100):
        log.append("container", "start", str(number))

    names = {path.name for path in tmp_path.iterdir()}
    ids = [int(event.id) for event in log.read()]
    assert names - {"events"} == {"events.1", "events.2"}
    assert ids == list(range(ids[0], 100))
    assert len(ids) > 10
    assert all(path.stat().st_size < 2000 for path in tmp_path.iterdir())


@pytest.mark.parametrize("program", [APPEND, APPEND_AS_THE_MONITOR], ids=["python", "monitor"])
def test_no_event_is_lost_or_doubled_when_all_append_at_once(tmp_path: Path, program: str) -> None:
    """A rotation or two come in between, so that all files are kept; who knows of no locks writes beside who does."""
    count = 400
    wanted = {f"{name}.{number}" for name in "abcd" for number in range(count)}
    with ExitStack() as stack:
        processes = [
            stack.enter_context(child(APPEND if name in "ab" else program, tmp_path, name, str(count)))
            for name in "abcd"
        ]
        with EventLog(tmp_path).follow() as following:
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("\n")
                process.stdin.flush()
            seen = [event.id for event in islice(following, len(wanted))]
        for process in processes:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
        assert (tmp_path / "events.1").exists()

    assert sorted(seen) == sorted(wanted)
    for name in "abcd":  # and in order
        assert [id for id in seen if id.startswith(name)] == [f"{name}.{number}" for number in range(count)]


def test_times(log: EventLog, tmp_path: Path) -> None:
    for second in (10, 20, 5):
        event = Event("container", f"at {second}", ID, {}, second * 1_000_000_000)
        with (tmp_path / "events").open("ab") as file:
            file.write(event.to_json())

    assert actions(log, since=10) == ["at 10", "at 20"]
    assert actions(log, until=10) == ["at 10", "at 5"]
    assert actions(log, since="1970-01-01T00:00:10Z", until="1970-01-01T00:00:10Z") == ["at 10"]
    assert [event.action for event in log.follow(until=10)] == ["at 10", "at 5"]


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({}, "create start health pull tag connect mount"),
        ({"type": "container"}, "create start health"),
        ({"type": ["image", "volume"]}, "pull tag mount"),
        ({"event": "start"}, "start"),
        ({"action": ["start", "pull"]}, "start pull"),
        ({"event": "health_status"}, "health"),
        ({"event": "health_status: healthy"}, "health"),
        ({"event": "health_status: bad"}, ""),
        ({"container": "web"}, "create start health"),
        ({"container": "we"}, "create start health"),
        ({"container": ["nobody", ID[:8]]}, "create start health"),
        ({"container": "net"}, ""),
        ({"network": "net"}, "connect"),
        ({"volume": "vol"}, "mount"),
        ({"image": "alpine"}, "create start health pull tag"),
        ({"image": "alpine:3"}, "create start health pull tag"),
        ({"image": "alp"}, ""),
        ({"image": "reg:5000/a"}, ""),
        ({"label": "app"}, "create start"),
        ({"label": "app=one"}, "create"),
        ({"label": ["app", "tier=db"]}, "start"),
        ({"label": "app=three"}, ""),
        ({"scope": "local"}, "create start health pull tag connect mount"),
        ({"scope": ["swarm"]}, ""),
        ({"type": "container", "event": ["start", "pull"], "label": "app=two"}, "start"),
    ],
)
def test_filters(log: EventLog, filters: dict[str, Any], wanted: str) -> None:
    web = {"name": "web", "image": "alpine:3"}
    log.append("container", "create", ID, {**web, "app": "one"})
    log.append("container", "start", ID, {**web, "app": "two", "tier": "db"})
    log.append("container", "health_status: healthy", ID, web)
    log.append("image", "pull", "alpine:3", {"name": "alpine"})
    log.append("image", "tag", "sha256:" + ID, {"name": "alpine:3"})
    log.append("network", "connect", "ab" * 32, {"name": "net", "container": ID})
    log.append("volume", "mount", "vol")

    found = [event.action.partition("_")[0] for event in log.read(filters=filters)]
    assert found == wanted.split()


@pytest.mark.parametrize("filters", [{"nothing": "a"}, {"type": []}, {"type": 7}, {"type": [7]}, {"type": {"a": True}}])
def test_a_filter_that_is_none_is_refused_at_once(log: EventLog, filters: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match="filters: "):
        log.read(filters=filters)
    with pytest.raises(InvalidOption, match="filters: "):
        log.follow(filters=filters)
    with pytest.raises(InvalidOption, match="since: "):
        log.follow(since="yesterday")


def test_without_a_time_what_was_before_is_left_out(log: EventLog) -> None:
    log.append("container", "start", ID)
    with log.follow() as following:
        log.append("container", "stop", ID)
        assert next(following).action == "stop"
    with log.follow(since=0) as following:
        assert [next(following).action, next(following).action] == ["start", "stop"]


def test_it_ends_at_its_time(log: EventLog) -> None:
    until = time.time() + 0.1
    with log.follow(until=until) as following:
        log.append("container", "start", ID)
        assert [event.action for event in following] == ["start"]
    assert time.time() >= until


def test_another_thread_closes_it(log: EventLog) -> None:
    following = log.follow()
    timer = threading.Timer(0.05, following.close)
    timer.start()

    assert list(following) == []

    timer.join()


def test_an_event_that_no_reader_would_take_is_refused(log: EventLog) -> None:
    with pytest.raises(InvalidArgument, match="start"):
        log.append("container", "start", ID, {"label": "x" * (2 << 20)})
    assert actions(log) == []


def test_a_root_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(SyscallError, match="events"):
        EventLog(tmp_path / "gone").append("container", "start", ID)
