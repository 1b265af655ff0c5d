"""What detached containers write, who reads it, and what comes to their standard input."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrt import Engine
from tests.kept_engine import IMAGE, kept_engine, log, sh

pytestmark = pytest.mark.needs("overlay")


@pytest.fixture
def store(public_directory: Path, public_rootfs: Path) -> Iterator[Engine]:
    with kept_engine(public_directory, public_rootfs) as engine:
        yield engine


def test_attached_clients_get_each_byte_once(store: Engine) -> None:
    container = store.containers.run(IMAGE, sh("cat; echo end"), stdin_open=True, detach=True)
    size, got = 3 << 20, [bytearray(), bytearray()]

    def read(number: int) -> None:
        with container.attach() as attached:
            ready.wait()
            for _, piece in attached:
                got[number] += piece

    ready = threading.Barrier(3)
    readers = [threading.Thread(target=read, args=(number,)) for number in range(2)]
    for each in readers:
        each.start()
    ready.wait()
    sent = os.urandom(size // 2).hex().encode()
    with container.attach(stdin=True, stdout=False, stderr=False) as attached:
        attached.write(sent)
        attached.close_stdin()
    for each in readers:
        each.join()

    assert [bytes(each) == sent + b"end\n" for each in got] == [True, True]
    assert container.wait(30) == {"StatusCode": 0}


def test_input_ends_with_its_client_where_that_was_asked_for(store: Engine) -> None:
    container = store.containers.run(IMAGE, sh("wc -c"), stdin_open=True, stdin_once=True, detach=True)
    with container.attach(stdin=True) as attached:
        attached.write(b"four")

    assert container.wait(30) == {"StatusCode": 0}
    assert log(store, container)[0]["log"].strip() == "4"


def test_a_terminal(store: Engine) -> None:
    container = store.containers.run(IMAGE, ["sh"], tty=True, stdin_open=True, detach=True)
    container.resize(30, 100)
    with container.attach(stdin=True) as attached:
        attached.write(b"stty size; exit 6\n")
        said = b"".join(piece for _, piece in attached)

    assert b"30 100" in said
    assert attached.exit_code == 6


def test_a_reader_that_stops_does_not_keep_the_end_from_others(store: Engine) -> None:
    container = store.containers.run(IMAGE, sh("sleep 0.2; head -c 3000 /dev/zero"), detach=True)
    with container.attach():
        assert container.wait(30) == {"StatusCode": 0}


def test_lines_are_logged_whole_and_rotated_between_lines(store: Engine) -> None:
    config = {"Type": "json-file", "Config": {"max-size": "20k", "max-file": "3"}}
    container = store.containers.run(IMAGE, sh("seq 1 2000; printf 'no end'"), log_config=config, detach=True)
    container.wait(30)

    directory = store.root / "containers" / container.id
    names = sorted(each.name for each in directory.glob("log*"))
    lines = [json.loads(line) for name in reversed(names) for line in (directory / name).read_text().splitlines()]
    said = "".join(line["log"] for line in lines)
    assert names == ["log", "log.1", "log.2"]
    assert "".join(f"{number}\n" for number in range(1, 2001)).endswith(said.removesuffix("no end"))
    assert said.endswith("2000\nno end")


def test_every_byte_is_logged_as_json(store: Engine) -> None:
    container = store.containers.run(IMAGE, sh(r"printf 'q\042\\\b\177\303\244\377\342\202x\n'"), detach=True)
    container.wait(30)

    assert log(store, container)[0]["log"] == 'q"\\\b\x7fä\ufffd\ufffd\ufffdx\n'


def test_no_reader_is_needed(store: Engine) -> None:
    began = time.monotonic()
    container = store.containers.run(
        IMAGE, sh("head -c 5000000 /dev/zero | tr '\\0' x"), log_config={"Type": "none"}, detach=True
    )

    assert container.wait(60) == {"StatusCode": 0}
    assert time.monotonic() - began < 60


def test_logs(store: Engine) -> None:
    container = store.containers.run(IMAGE, sh("echo one; echo two >&2; sleep 0.2; echo three"), detach=True)

    followed = b"".join(container.logs(stream=True, follow=True))

    assert sorted(followed.split()) == [b"one", b"three", b"two"]
    assert container.logs(stderr=False) == b"one\nthree\n"
    assert container.logs(tail=1) == b"three\n"
    assert [(line.stream, line.text) for line in container.log_lines(stdout=False)] == [("stderr", b"two\n")]


def test_rotated_files_are_compressed_where_that_was_asked_for(store: Engine) -> None:
    config = {"Type": "json-file", "Config": {"max-size": "20k", "max-file": "4", "compress": "true"}}
    container = store.containers.run(IMAGE, sh("seq 1 900"), log_config=config, detach=True)
    container.wait(30)

    said = container.logs()

    assert said == "".join(f"{number}\n" for number in range(1, 901)).encode()
    directory = store.root / "containers" / container.id
    assert [path.read_bytes()[:2] == b"\x1f\x8b" for path in sorted(directory.glob("log*"))] == [
        False,
        False,
        True,
        True,
    ]


def test_a_reader_may_miss_something_where_that_was_asked_for(store: Engine) -> None:
    config = {"Type": "none", "Config": {"mode": "non-blocking"}}
    container = store.containers.create(IMAGE, sh("head -c 9000000 /dev/zero"), log_config=config)
    with container.start(attach=True) as attached:
        assert container.wait(30) == {"StatusCode": 0}
        assert len(b"".join(piece for _, piece in attached)) < 9000000


def test_words_of_no_encoding(store: Engine) -> None:
    container = store.containers.run(IMAGE, ["printf", "%s", "\udcff"], detach=True)
    container.wait(30)

    assert container.command == ("printf", "%s", "\udcff")
    assert container.logs() == "\ufffd".encode()
