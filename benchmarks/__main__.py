"""Run benchmarks: `python -m benchmarks [name …] [--quick] [--json OUT] [--compare OLD] [--plot OUT.svg]`.

A benchmark is a module benchmarks/bench_<name>.py with `run(options) -> list of rows`. Exit code 0: all was run;
1: a target was missed and --check was given; 130: interrupted, with everything cleaned up.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import benchmarks
from benchmarks.harness import Options, Row, machine
from benchmarks.report import chart, compare, markdown

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks that the arguments name and give the exit code."""
    options = _parse(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        results = {name: _entry(name)(Options(quick=options.quick)) for name in options.names}
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    record = machine(Path(tempfile.gettempdir()))
    print(markdown(results, record))
    if options.compare:
        print(compare(json.loads(options.compare.read_text())["results"], results))
    if options.json:
        options.json.write_text(
            json.dumps({"machine": record, "results": results}, indent=2, ensure_ascii=False) + "\n"
        )
    if options.plot:
        options.plot.write_text(chart(results))
    missed = [row["name"] for rows in results.values() for row in rows if row.get("met") is False]
    return 1 if missed and options.check else 0


def names() -> list[str]:
    """Give the names of all benchmarks."""
    prefix = "bench_"
    found = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name.removeprefix(prefix) for name in found if name.startswith(prefix))


def _entry(name: str) -> Callable[[Options], list[Row]]:
    run: Callable[[Options], list[Row]] = importlib.import_module(f"benchmarks.bench_{name}").run
    return run


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure pyrt beside its peers.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"which: {', '.join(names())} (all)")
    parser.add_argument("--quick", action="store_true", help="few rounds: under a minute, noisier")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a target is missed")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the rows and the machine's record")
    parser.add_argument("--compare", type=Path, metavar="OLD", help="show the change since an earlier --json file")
    parser.add_argument("--plot", type=Path, metavar="OUT.svg", help="draw the medians")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.names) - set(names()))
    if unknown:
        parser.error(f"no benchmark named {', '.join(unknown)}; there are: {', '.join(names())}")
    if options.plot and options.plot.suffix != ".svg":
        parser.error(f"--plot writes SVG: give {options.plot.with_suffix('.svg')}")
    options.names = options.names or names()
    return options


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
