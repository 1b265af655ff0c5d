"""The proof: a container of `host:`, and what is in force in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pyrt.cli.checks.check import Check, limited, missing, ok
from pyrt.engine import Engine
from pyrt.errors import PyrtError

__all__ = ["NAME", "examine", "in_force"]

NAME = "container"
PATIENCE_SECONDS = 30
FILTERED = "2"  # SECCOMP_MODE_FILTER, in proc_pid_status(5)


def examine(root: Path) -> Iterator[Check]:
    """Open an engine on `root`, and run a program."""
    try:
        engine = Engine(root)
    except PyrtError as error:
        yield missing("engine root", str(error))
        yield missing(NAME, "there is no engine to run it")
        return
    with engine:
        yield ok("engine root", str(engine.root))
        try:
            result = engine.run("host:", ["/bin/cat", "/proc/self/status"], text=True, timeout=PATIENCE_SECONDS)
        except PyrtError as error:
            yield missing(NAME, str(error))
            return
    if result.returncode != 0:
        yield missing(NAME, f"cat {result.exit_cause}: {result.stderr.strip()}")
        return
    driver, started_ns = result.effective.get("storage_driver"), result.timings.wall_ns or 0
    yield from in_force(result.stdout)
    yield ok(NAME, f"cat ran in one of host: ({driver}), from start to end in {started_ns / 1e6:.1f} ms")


def in_force(status: str) -> Iterator[Check]:
    """Read what /proc/self/status says inside."""
    fields = {name: value.strip() for name, _, value in (line.partition(":") for line in status.splitlines())}
    if fields.get("Seccomp") == FILTERED:
        yield ok("seccomp in a container", "the filter is in force")
    else:
        yield limited("seccomp in a container", "no filter is in force", "a kernel with CONFIG_SECCOMP_FILTER")
