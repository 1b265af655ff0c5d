"""The benchmark's own programs on a real kernel: what they time works, and nothing of it stays."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from benchmarks import bench_images, peers
from benchmarks.fixtures import Fixtures, fixtures
from benchmarks.harness import Missing, Options
from benchmarks.timer import Timer


def hierarchies() -> list[Path]:
    fields = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return [Path(entry[1]) for entry in fields if entry[2] in ("cgroup", "cgroup2")]


def traces(made: Fixtures) -> list[Path]:
    return [path for mount in hierarchies() for path in mount.glob(f"{made.name}*")]


@pytest.mark.needs("root", "overlay", "net")
@pytest.mark.parametrize("options", [(), ("nonet",), ("bare",), ("-j", "8")])
def test_floor_times_each_run_and_leaves_nothing(options: tuple[str, ...]) -> None:
    with fixtures() as made:
        measured = peers.floor_times(made, 16, *options)

        assert len(measured["us"]) == 16
        assert all(0 < time <= measured["wall_us"] for time in measured["us"])
        assert traces(made) == []
        assert not list(made.top.glob("floor[0-9]*"))

    assert not made.top.exists()


@pytest.mark.needs("root", "overlay")
def test_floor_says_what_failed() -> None:
    with fixtures() as made:
        made.nop.unlink()

        with pytest.raises(Missing, match="execve /bin/nop: No such file"):
            peers.floor_times(made, 1)


@pytest.mark.needs("root")
def test_fixtures_remove_cgroups_after_an_interruption() -> None:
    with pytest.raises(KeyboardInterrupt), fixtures() as made:
        (hierarchies()[0] / f"{made.name}-x" / "inner").mkdir(parents=True)
        raise KeyboardInterrupt

    assert traces(made) == []
    assert not made.top.exists()


def test_timer_reports_a_failing_command_and_goes_on() -> None:
    with Timer() as timer:
        with pytest.raises(Missing, match="ended with 3: why"):
            timer.spawn(["/bin/sh", "-c", "echo why >&2; exit 3"], 1)

        assert len(timer.spawn(["/bin/true"], 4)) == 4


def test_timer_touches_memory_only_where_it_is_asked() -> None:
    with Timer() as timer:
        assert timer.ask("touch", size=8 << 20) == 8 << 20


@pytest.mark.needs("root", "overlay")
def test_world_hides_its_mounts_and_ends_its_daemons() -> None:
    mounts = Path("/proc/self/mounts").read_text()

    with fixtures() as made, peers.world(made) as inside:
        inside.spawn(["/bin/sh", "-c", f"test -x {made.top}/root/bin/nop && : > /run/x && : > /etc/x"], 1)
        log = made.top / "log"
        program = "trap 'echo ended; exit' TERM; echo up; while :; do sleep 0.01; done"
        inside.ask("daemon", argv=["/bin/sh", "-c", program], log=str(log))
        inside.spawn(["/bin/sh", "-c", f"until grep -q up {log}; do sleep 0.01; done"], 1)
        inside.close()

        assert log.read_text() == "up\nended\n"

    assert Path("/proc/self/mounts").read_text() == mounts
    assert not os.path.exists("/run/x")
    assert not os.path.exists("/etc/x")


@pytest.mark.timeout(300)
@pytest.mark.needs("root", "overlay", "docker-registry", "docker", "podman", "skopeo", "umoci")
def test_images_measures_everybody_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="b-") as top:  # the path of a daemon's socket has to be short
        monkeypatch.setattr(tempfile, "tempdir", top)

        rows = bench_images.run(Options(quick=True))

        assert os.listdir(top) == []
    assert {row["name"]: row["note"] for row in rows if row["value"] is None} == {}
    assert {row["unit"] for row in rows} == {"s", "ms", "MiB", "requests"}
    targets = {row["name"]: row["met"] for row in rows if "target" in row}
    assert targets["pyrt pull, present: requests (target)"]
