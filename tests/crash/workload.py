"""A host program that does with the containers of a root whatever a seed says, until somebody kills it.

`python -m tests.crash.workload ROOT SEED JOURNAL`: the journal gets a line when a verb begins, and one when it is done.
"""

from __future__ import annotations

import errno
import os
import random
import select
import sys
from typing import Any

from pyrt import Container, Engine, Image
from pyrt.errors import Conflict, NotFound, PyrtError, SyscallError, Unavailable
from tests.kept_engine import IMAGE

__all__ = ["PROGRAMS", "journal_of"]

# Each says in its arguments whose it is; the last is told apart from all others by what it writes.
PROGRAMS = {
    "stays": ": {mark}; while :; do sleep 1; done",
    "ends": ": {mark}; exit 3",
    "talks": ": {mark}; while :; do echo {mark}; sleep 0.02; done",
    "fails": ": {mark}; sleep 0.05; exit 1",
}
MOST = 6
Journal = list[tuple[str, str, str, str]]


class Host:
    """Does verbs by chance; `seed` decides which."""

    def __init__(self, engine: Engine, seed: int, journal: int) -> None:
        self._containers = engine.containers
        self._chance = random.Random(seed)
        self._seed = seed
        self._journal = journal
        self._serial = 0

    def note(self, when: str, verb: str, id: str, name: str = "-") -> None:
        """Write one line, at once."""
        os.write(self._journal, f"{when} {verb} {id} {name}\n".encode())

    def step(self) -> None:
        """Do one verb; what another process does at the same time may be in its way."""
        there = self._containers.list(all=True)
        verbs = ["create", "run"] if not there else ["create", "run", *VERBS]
        if len(there) >= MOST:
            verbs = ["remove", "force"]
        verb = self._chance.choice(verbs)
        if verb in ("create", "run"):
            return self.make(verb)
        container = self._chance.choice(there)
        self.note("begin", verb, container.id, container.name)
        try:
            self.do(verb, container)
        except (Conflict, NotFound) as error:
            return self.note("refused", verb, container.id, type(error).__name__)
        self.note("done", verb, container.id, container.name)

    def make(self, verb: str) -> None:
        """Create a container, or run one."""
        self._serial += 1
        mark = f"box-{self._seed}-{self._serial}"
        program = self._chance.choice([*PROGRAMS])
        policy = self._chance.choice(["no", "no", "always", "on-failure:2"])
        command = ["sh", "-c", PROGRAMS[program].format(mark=mark)]
        self.note("begin", verb, "-", mark)
        options: Any = {"name": mark, "restart_policy": policy, "stdin_open": True, "labels": {"mark": mark}}
        if verb == "create":
            container = self._containers.create(IMAGE, command, **options)
        else:
            container = self._containers.run(IMAGE, command, detach=True, **options)
        self.note("done", verb, container.id, mark)

    def do(self, verb: str, container: Container[Image]) -> None:
        """Do a verb on a container that is there."""
        if verb == "stop":
            container.stop(0)
        elif verb == "restart":
            container.restart(0)
        elif verb == "rename":
            self._serial += 1
            container.rename(f"other-{self._seed}-{self._serial}")
        elif verb == "force":
            container.remove(force=True)
        elif verb == "attach":
            with container.attach(stdin=True) as attached:
                attached.write(b"x\n")
        elif verb == "update":
            container.update(restart_policy="no")
        else:
            getattr(container, verb)()


VERBS = [
    "start",
    "start",
    "stop",
    "kill",
    "pause",
    "unpause",
    "restart",
    "rename",
    "remove",
    "force",
    "attach",
    "update",
]


def journal_of(text: str) -> Journal:
    """Read the lines that are whole."""
    lines = [line.split(" ") for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [(when, verb, id, name.rstrip("\n")) for when, verb, id, name in lines]


def is_killed(error: PyrtError) -> bool:
    """Whether an error says that a monitor was killed, or its container's first process."""
    return isinstance(error, Unavailable) or (isinstance(error, SyscallError) and error.errno == errno.ECHILD)


def main(root: str, seed: str, path: str) -> int:
    """Work until standard input ends; a PyrtError that no kill explains is a failure."""
    journal = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with Engine(root) as engine:
        host = Host(engine, int(seed), journal)
        print("ready", flush=True)
        while not select.select([0], [], [], 0)[0]:
            try:
                host.step()
            except PyrtError as error:
                host.note("failed", "verb", "-", type(error).__name__)
                if not is_killed(error):
                    raise
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
