"""The peers: one function each, that arranges what the peer needs and gives a case that runs /bin/nop with it.

Each raises Missing where the peer is not on PATH or does not work here. All run alone in new namespaces, the network
namespace with nothing but a loopback interface, below the run's cgroup, with 256 MiB of memory and 64 tasks; what a
peer cannot do (bwrap knows neither cgroups nor overlays) it does not do, and its figure is so much the smaller.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.fixtures import ARCHITECTURES, MEMORY_BYTES, PIDS, Fixtures
from benchmarks.harness import Case, Missing
from benchmarks.timer import Timer

__all__ = [
    "bwrap",
    "crun",
    "docker",
    "docker_command",
    "floor",
    "floor_times",
    "podman",
    "podman_command",
    "program",
    "pyrt_command",
    "pyrt_options",
    "pyrt_program",
    "runc",
    "world",
]

# Everything that a peer leaves in its world ends with it: the pid namespace ends daemons and monitors, the mount
# namespace mounts, and the tmpfs and the overlay take the files that engines write outside the directories they were
# given. crun refuses a v2 hierarchy beside v1 ones, so that all OCI peers see a hybrid host as a v1 host.
_WORLD = """
set -e
top=$1; shift
mount -n -t tmpfs tmpfs /run  # -n: mount itself would leave a file in the host's /run
if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi
mount -t tmpfs tmpfs /var/lib
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$top/etc.upper,workdir=$top/etc.work" /etc
mount -t overlay overlay -o "lowerdir=$top/rootfs,upperdir=$top/root.upper,workdir=$top/root.work" "$top/root"
exec "$@"
"""


@contextmanager
def world(made: Fixtures) -> Iterator[Timer]:
    """Give a timer in mount and pid namespaces of its own, where `top/root` is an overlay on the root file system."""
    if os.geteuid() != 0:
        raise Missing("needs root")
    unshare = [
        program("unshare"),
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--propagation",
        "private",
    ]
    for name in ("etc.upper", "etc.work", "root.upper", "root.work", "root"):
        (made.top / name).mkdir()
    with Timer([*unshare, "sh", "-c", _WORLD, "sh", str(made.top)]) as timer:
        yield timer


def floor_times(made: Fixtures, runs: int, *options: str) -> dict[str, Any]:
    """Run the floor program: `us` is a list of times, `wall_us` the time of all."""
    command = [str(made.floor), str(made.rootfs), str(made.top), str(runs), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        try:
            output, wrote = process.communicate()
        except BaseException:
            process.terminate()  # it ends the run in flight and removes its cgroups
            raise
    if process.returncode != 0:
        raise Missing(wrote.decode(errors="replace").strip())
    times: dict[str, Any] = json.loads(output)
    return times


def floor(made: Fixtures, name: str, *options: str) -> Case:
    """The least this kernel can do: see floor.c."""
    return Case(name, lambda runs: floor_times(made, runs, *options)["us"], batch=10)


def bwrap(made: Fixtures, timer: Timer) -> Case:
    """bubblewrap with new namespaces on the root file system, read-only: no cgroup, no overlay, no filter."""
    unshare = ["--unshare-pid", "--unshare-uts", "--unshare-ipc", "--unshare-net", "--unshare-cgroup-try"]
    mounts = ["--ro-bind", str(made.rootfs), "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    return _case("bwrap", timer, [program("bwrap"), *unshare, *mounts, "--die-with-parent", "/bin/nop"], batch=5)


def crun(made: Fixtures, timer: Timer, name: str, architectures: Sequence[str] = ARCHITECTURES) -> Case:
    """`crun run` of a bundle whose root is an overlay that is mounted already: it pays for none of its own.

    It compiles the seccomp profile anew each time, and each of `architectures` adds to that.
    """
    command = [program("crun"), "--root", f"{made.top}/crun.state", "--cgroup-manager", "cgroupfs"]
    return _oci(made, timer, name, command, architectures, batch=4)


def runc(made: Fixtures, timer: Timer) -> Case:
    """`runc run` of the same bundle as crun's."""
    return _oci(made, timer, "runc run", [program("runc"), "--root", f"{made.top}/runc.state"], ARCHITECTURES, batch=3)


def podman(made: Fixtures, timer: Timer) -> Case:
    """`podman run --rm` with storage of its own and crun (runc where there is none) below it."""
    limits = [
        f"--ulimit={name}={_hard_limit(name)}" for name in ("nofile", "nproc")
    ]  # its defaults exceed the hard limits
    return _engine(made, timer, "podman run", podman_command(made), limits)


def podman_command(made: Fixtures) -> list[str]:
    """The words that podman's verbs follow in a world, with storage of its own."""
    state = made.top / "podman"
    places = ["--root", f"{state}/root", "--runroot", "/run/podman", "--tmpdir", f"{state}/tmp"]  # 50 bytes at most
    runtime = shutil.which("crun") or program("runc")
    manner = ["--cgroup-manager", "cgroupfs", "--events-backend", "none", "--runtime", runtime]
    return [program("podman"), *places, *manner]


def docker(made: Fixtures, timer: Timer) -> Case:
    """`docker run --rm` against a dockerd of its own, with the storage driver that it finds to work."""
    return _engine(made, timer, "docker run", docker_command(made, timer), [])


def docker_command(made: Fixtures, timer: Timer) -> list[str]:
    """Start a dockerd in the timer's world and give the words that docker's verbs follow."""
    client, socket = program("docker"), f"unix://{made.top}/docker.sock"
    state, log = made.top / "docker", made.top / "dockerd.log"
    daemon = [program("dockerd"), f"--data-root={state}/data", f"--exec-root={state}/exec", f"--pidfile={state}/pid"]
    daemon += [f"--host={socket}", "--iptables=false", "--ip6tables=false", "--bridge=none"]
    daemon += ["--exec-opt=native.cgroupdriver=cgroupfs"]
    timer.ask("daemon", argv=daemon, log=str(log))
    command = [client, "--host", socket]
    deadline = time.monotonic() + 30
    while True:
        try:
            timer.spawn([*command, "version"], 1)
            return command
        except Missing as error:
            if time.monotonic() > deadline:
                raise Missing(f"dockerd does not answer: {log.read_text()[-300:]}") from error
            time.sleep(0.1)


def pyrt_options() -> dict[str, Any]:
    """The options with which pyrt is compared: the limits of all others, isolation by default."""
    return {"mem_limit": MEMORY_BYTES, "pids_limit": PIDS}


def pyrt_command(made: Fixtures, timer: Timer) -> Case:
    """`pyrt run` as a command, a new interpreter each time."""
    limits = ["--network", "none", "--memory", str(MEMORY_BYTES), "--pids-limit", str(PIDS)]
    return _case(
        "pyrt run (command)",
        timer,
        [pyrt_program(), "run", "--rm", *limits, f"rootfs:{made.rootfs}", "/bin/nop"],
        batch=3,
    )


def pyrt_program() -> str:
    """Give the path of the command that this interpreter's pyrt comes with."""
    beside = Path(sys.executable).with_name("pyrt")
    return str(beside) if beside.exists() else program("pyrt")


def _oci(
    made: Fixtures, timer: Timer, name: str, runtime: Sequence[str], architectures: Sequence[str], batch: int
) -> Case:
    bundle = made.bundle(name, made.top / "root", architectures)
    numbers = itertools.count()

    def sample(runs: int) -> list[float]:
        command = [*runtime, "run", "--bundle", str(bundle)]
        return [timer.spawn([*command, f"{bundle.name}-{next(numbers)}"], 1)[0] for _ in range(runs)]

    return Case(name, sample, batch)


def _engine(made: Fixtures, timer: Timer, name: str, command: Sequence[str], options: Sequence[str]) -> Case:
    """Import the root file system into an engine of Docker's command line and give the case of its `run --rm`."""
    timer.spawn([*command, "import", str(made.archive()), "nop:latest"], 1)
    limits = [f"--memory={MEMORY_BYTES}", f"--pids-limit={PIDS}", f"--cgroup-parent=/{made.name}", *options]
    return _case(name, timer, [*command, "run", "--rm", "--network=none", *limits, "nop:latest", "/bin/nop"], batch=1)


def _hard_limit(name: str) -> str:
    _, hard = resource.getrlimit({"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}[name])
    return f"{hard}:{hard}"


def _case(name: str, timer: Timer, command: Sequence[str], batch: int) -> Case:
    return Case(name, lambda runs: timer.spawn(command, runs), batch)


def program(name: str) -> str:
    """Give the path of a program; raise Missing where it is not on PATH."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        raise Missing(f"{name} is not on PATH")
    return path
