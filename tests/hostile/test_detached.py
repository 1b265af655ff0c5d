"""Clients of a monitor that do what they should not, and what the monitor costs meanwhile."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrt import Engine
from pyrt.errors import Unavailable
from pyrt.runtime.link import Link
from pyrt.runtime.protocol import PACKET, Order
from tests.hosts import eventually, processes_with
from tests.kept_engine import FOREVER, IMAGE, descriptors, kept_engine, monitor, place, sh

pytestmark = pytest.mark.needs("overlay")


@pytest.fixture
def store(public_directory: Path, public_rootfs: Path) -> Iterator[Engine]:
    with kept_engine(public_directory, public_rootfs) as engine:
        yield engine


def cpu_ticks(pid: int) -> int:
    """Give the processor time that a process has used, in ticks (proc_pid_stat(5), 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def switches(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches:"):
            return int(line.split()[1])
    raise AssertionError("no count of context switches")


@pytest.mark.parametrize(
    ("script", "tty"),
    [
        ("exec </dev/null >/dev/null 2>&1; sleep 1000", False),
        ("exec </dev/null >/dev/null 2>&1; sleep 1000", True),
        ("sleep 1000", False),
    ],
)
def test_a_monitor_that_has_nothing_to_do_does_nothing(store: Engine, script: str, tty: bool) -> None:
    container = store.containers.run(IMAGE, sh(script), tty=tty, stdin_open=True, detach=True)
    pid = monitor(store, container)
    eventually(lambda: processes_with("sleep\x001000"), "the program does not come to its sleep")
    time.sleep(0.1)

    before = switches(pid), cpu_ticks(pid)
    time.sleep(1)

    assert (switches(pid), cpu_ticks(pid)) == before
    kilobytes = [line for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:")]
    assert int(kilobytes[0].split()[1]) < 1500
    container.remove(force=True)


def test_what_a_client_has_written_arrives_when_it_has_left(store: Engine) -> None:
    container = store.containers.run(IMAGE, sh("sleep 0.5; wc -c"), stdin_open=True, stdin_once=True, detach=True)
    with container.attach(stdin=True, stdout=False, stderr=False) as attached:
        for _ in range(6):
            attached.write(b"x" * 32768)

    assert container.wait(30) == {"StatusCode": 0}
    assert (place(store, container) / "log").read_text().startswith('{"log":"196608\\n"')


def test_many_who_write_at_once_lose_nothing(store: Engine) -> None:
    container = store.containers.run(IMAGE, sh("wc -c"), stdin_open=True, detach=True)
    with Link.connect(str(place(store, container)), "box") as link:
        link.ask(Order.PAUSED, 0)  # whoever started it is served, and gone
        with_one = descriptors(monitor(store, container))

    def write() -> None:
        with container.attach(stdin=True, stdout=False, stderr=False) as attached:
            for _ in range(20):
                attached.write(b"x" * 32768)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    with container.attach(stdin=True) as attached:
        attached._link.ask(Order.PAUSED, 0)  # it has its seat, and so have all that came before
        eventually(lambda: descriptors(monitor(store, container)) <= with_one, "those who have left are still there")
        attached.close_stdin()
        said = b"".join(piece for _, piece in attached)

    assert int(said) == 8 * 20 * 32768


def test_an_input_that_is_never_read_does_not_keep_it_from_being_stopped(store: Engine) -> None:
    container = store.containers.run(IMAGE, FOREVER, stdin_open=True, detach=True)
    attached = container.attach(stdin=True)

    def write() -> None:
        with suppress(Unavailable):  # unless the rest is dropped before the monitor leaves
            attached.write(b"x" * (8 << 20))

    writer = threading.Thread(target=write)
    writer.start()

    container.stop(0)
    writer.join(30)

    assert (container.status, writer.is_alive()) == ("exited", False)
    attached.close()


def test_a_client_that_stops_reading_delays_the_end_and_does_not_prevent_it(store: Engine) -> None:
    container = store.containers.run(
        IMAGE, sh("sleep 0.3; head -c 3000000 /dev/zero"), log_config={"Type": "none"}, detach=True
    )
    with container.attach():
        time.sleep(0.5)
        container.kill()

    assert container.wait(60)["StatusCode"] == 137


def test_more_clients_than_there_are_seats(store: Engine) -> None:
    container = store.containers.run(IMAGE, FOREVER, detach=True)
    clients = [container.attach() for _ in range(112)]
    with container.attach() as late, pytest.raises(Unavailable, match="too many"):
        late.read(30)

    container.stop(0)

    assert container.status == "exited"
    for each in clients:
        assert each.read(30) is None
        assert each.exit_code is not None
        each.close()


PACKETS = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.builds(lambda size: bytes(size), st.sampled_from([32768, 65536, 65552, 100000])),
        st.builds(
            lambda kind, a, b, rest: PACKET.pack(kind, a, b) + rest,
            st.integers(0, 12).filter(lambda kind: kind != Order.SIGNAL),
            st.integers(-(2**31), 2**31 - 1),
            st.integers(0, 2**64 - 1),
            st.binary(max_size=100),
        ),
    ),
    max_size=12,
)


def test_whatever_a_client_sends_the_monitor_goes_on(store: Engine) -> None:
    container = store.containers.run(IMAGE, FOREVER, stdin_open=True, detach=True)
    pid = monitor(store, container)
    before = descriptors(pid)

    @settings(max_examples=40)
    @given(packets=PACKETS, with_descriptors=st.integers(0, 5))
    def send(packets: list[bytes], with_descriptors: int) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.settimeout(5)
            with Directory(place(store, container)) as directory:
                client.connect(f"/proc/self/fd/{directory}/socket")
            with suppress(OSError):
                for packet in packets:
                    socket.send_fds(client, [packet], [0] * with_descriptors)

    send()

    eventually(lambda: descriptors(pid) <= before, f"{descriptors(pid)} descriptors are open, and {before} were")
    with Link.connect(str(place(store, container)), "box") as link:
        link.ask(Order.PAUSED, 0)
    container.stop(0)
    assert container.status == "exited"


class Directory:
    """A descriptor of a directory."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> int:
        self._fd = os.open(self._path, os.O_PATH | os.O_DIRECTORY)
        return self._fd

    def __exit__(self, *exception: object) -> None:
        os.close(self._fd)
