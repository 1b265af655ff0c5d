"""Seccomp filters: what a call costs under our search tree and under libseccomp's list, and what a filter costs to get.

Instructions are counted by the interpreter of the tests, on the default profile and capabilities. "runc" is libseccomp
with its own binary tree, as runc asks for it, without the ENOSYS check that runc puts in front.
"""

from __future__ import annotations

import importlib.util
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import Case, Options, Row, against, interleave, median, missing, row
from pyrt.runtime.capabilities import DEFAULT
from pyrt.runtime.seccomp import Filters
from pyrt.runtime.seccomp.profile import oci_document
from pyrt.runtime.seccomp.syscalls import ARCHITECTURES, numbers
from tests.oracles.bpf import execute

__all__ = ["run"]

CALLS: dict[str, tuple[int, ...]] = {
    "read": (),
    "write": (),
    "futex": (),
    "openat": (),
    "epoll_wait": (),
    "clock_gettime": (),
    "close": (),
}
CALLS |= {"socket": (2,), "clone": (0x50F00,), "mount": (), "unshare": (), "clone3": ()}
NATIVE = "SCMP_ARCH_X86_64"


def run(options: Options) -> list[Row]:
    """Give the rows of instruction counts and of times."""
    return [*_steps(), *_times(options)]


def _steps() -> list[Row]:
    document = json.loads(oci_document(None, capabilities=DEFAULT, kernel=(6, 1), machine="x86_64"))
    rows: list[Row] = []
    programs: dict[str, bytes] = {}
    if importlib.util.find_spec("cffi") is None:
        rows.append(missing("libseccomp", "cffi is not installed"))
    else:
        try:
            document, programs = _libseccomp(document)
        except OSError as error:
            rows.append(missing("libseccomp", error))
    ours = Filters(machine="x86_64", kernel=(6, 1)).program(json.dumps(document).encode(), DEFAULT)
    if ours is None:
        raise AssertionError("the default profile has no filter")
    programs = {"pyrt": ours.code, **programs}
    table, audit = numbers(NATIVE), ARCHITECTURES[NATIVE].audit
    for name, code in programs.items():
        rows.append({"name": f"{name}: length", "value": len(code) // 8, "unit": "instructions"})
        every = [execute(code, audit, number).steps for number in table.values()]
        rows.append({"name": f"{name}: mean of all calls", "value": sum(every) / len(every), "unit": "instructions"})
        rows.append({"name": f"{name}: worst of all calls", "value": max(every), "unit": "instructions"})
        for call, args in CALLS.items():
            steps = execute(code, audit, table[call], args).steps
            rows.append({"name": f"{name}: {call}", "value": steps, "unit": "instructions"})
    return rows


def _libseccomp(document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Keep the calls that the installed libseccomp knows; give the document and the programs."""
    from tests.oracles.libseccomp import LibSeccomp

    with LibSeccomp() as lib:
        rules = [
            rule | {"names": [name for name in rule["names"] if lib.number(NATIVE, name) is not None]}
            for rule in document["syscalls"]
        ]
        document = document | {"syscalls": [rule for rule in rules if rule["names"]]}
        text = json.dumps(document).encode()
        return document, {"libseccomp": lib.program(text), "runc": lib.program(text, tree=True)}


def _times(options: Options) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="pyrt-bench-") as top:
        kept, directory = Filters(), Path(top)
        kept.program(None, DEFAULT)
        Filters(directory).program(None, DEFAULT)
        cases = {
            "compile": (60.0, lambda: Filters().program(None, DEFAULT)),
            "load from disk": (2.0, lambda: Filters(directory).program(None, DEFAULT)),
            "load from memory": (0.1, lambda: kept.program(None, DEFAULT)),
        }
        timed = [Case(name, _timer(work), batch=5) for name, (_, work) in cases.items()]
        series = interleave(timed, options.rounds(20, 3))
    rows = [row(name, values, "ms") for name, values in series.items()]
    targets = [against(f"{name} in time", median(series[name]), "ms", limit) for name, (limit, _) in cases.items()]
    return rows + targets


def _timer(work: Callable[[], object]) -> Callable[[int], Sequence[float]]:
    def sample(count: int) -> Sequence[float]:
        values = []
        for _ in range(count):
            start = time.perf_counter()
            work()
            values.append((time.perf_counter() - start) * 1000)
        return values

    return sample
