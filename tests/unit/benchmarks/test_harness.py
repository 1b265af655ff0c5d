"""The arithmetic and the order of the benchmark harness, and how its rows are shown."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.__main__ import main, names
from benchmarks.fixtures import seccomp_filter
from benchmarks.harness import (
    Case,
    Options,
    against,
    cgroup_layout,
    interleave,
    machine,
    median,
    missing,
    order,
    percentile,
    row,
)
from benchmarks.report import chart, compare, markdown, number


def recording(name: str, calls: list[tuple[str, int]], batch: int) -> Case:
    def sample(runs: int) -> list[float]:
        calls.append((name, runs))
        return [float(len(calls))] * runs

    return Case(name, sample, batch)


def test_median_is_the_middle_or_the_mean_of_the_middle_two() -> None:
    assert median([9, 1, 5]) == 5
    assert median([4, 1, 3, 2]) == 2.5


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, 1), (2, 2), (19, 19), (20, 19), (21, 20), (100, 95), (200, 190)],
)
def test_p95_is_the_nearest_rank(count: int, expected: int) -> None:
    values = [float(value) for value in range(count, 0, -1)]

    assert percentile(values, 95) == expected


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 95)


def test_row_scales_and_counts() -> None:
    assert row("x", [1000, 3000, 2000], "ms", scale=1e3) == {
        "name": "x",
        "value": 2.0,
        "unit": "ms",
        "p95": 3.0,
        "runs": 3,
    }


@pytest.mark.parametrize(
    ("value", "at_least", "met"),
    [(1.3, False, True), (1.31, False, False), (0.8, True, True), (0.79, True, False)],
)
def test_a_target_is_met_at_its_limit(value: float, at_least: bool, met: bool) -> None:
    limit = 0.8 if at_least else 1.3

    made = against("a ÷ b", value, "×", limit, at_least=at_least)

    assert made["met"] is met
    assert made["target"] == f"{'≥' if at_least else '≤'} {limit}"


def test_order_rotates_so_that_each_case_is_first_once() -> None:
    orders = [order(3, round_number) for round_number in range(4)]

    assert orders == [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]
    assert order(0, 5) == []


def test_interleave_samples_every_case_in_every_round_and_drops_the_warm_up() -> None:
    calls: list[tuple[str, int]] = []
    cases = [recording("a", calls, batch=2), recording("b", calls, batch=3)]

    series = interleave(cases, rounds=2, warm_up=1)

    assert calls == [("a", 1), ("b", 1), ("a", 2), ("b", 3), ("b", 3), ("a", 2)]
    assert series == {"a": [3.0, 3.0, 6.0, 6.0], "b": [4.0, 4.0, 4.0, 5.0, 5.0, 5.0]}


def test_interleave_refuses_two_cases_of_one_name() -> None:
    calls: list[tuple[str, int]] = []

    with pytest.raises(ValueError, match="one name"):
        interleave([recording("a", calls, 1), recording("a", calls, 1)], rounds=1)

    assert calls == []


def test_quick_takes_fewer_rounds() -> None:
    assert Options(quick=False).rounds(full=40, quick=8) == 40
    assert Options(quick=True).rounds(full=40, quick=8) == 8


@pytest.mark.parametrize(
    ("mounts", "layout"),
    [
        ("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0", "v2"),
        ("cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0", "v1"),
        ("c /c/pids cgroup rw 0 0\nc /c/unified cgroup2 rw 0 0", "hybrid (v1 and v2)"),
        ("proc /proc proc rw 0 0", "none"),
    ],
)
def test_cgroup_layout(mounts: str, layout: str) -> None:
    assert cgroup_layout(mounts) == layout


def test_the_machine_record_names_what_figures_depend_on(tmp_path: Path) -> None:
    record = machine(tmp_path)

    assert all(record[key] for key in ("kernel", "cpu", "cores", "memory", "python", "cgroups"))
    assert record["file system"] != "unknown"


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.0, "0"), (0.01234, "0.0123"), (1.005, "1.00"), (12.34, "12.3"), (266.4, "266")]
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_markdown_keeps_a_missing_row_with_its_reason_and_separates_targets() -> None:
    rows = [row("floor", [2.5], "ms"), missing("crun run", "crun is not on PATH"), against("a ÷ b", 2.0, "×", 1.3)]

    text = markdown({"run": rows}, {"kernel": "Linux"})

    tables = text.split("\n\n")
    assert tables[0] == "- kernel: Linux"
    assert "crun is not on PATH" in tables[2]
    assert [cell.strip() for cell in tables[3].splitlines()[2].split("|")[1:-1]] == [
        "a ÷ b",
        "2.00",
        "≤ 1.3",
        "×",
        "no",
    ]


def test_a_long_reason_keeps_its_end() -> None:
    note = missing("x", "start " + "word " * 100 + "the\n cause")["note"]

    assert note.endswith("the cause")
    assert len(note) < 170


def test_compare_shows_the_change_of_rows_that_both_runs_have() -> None:
    old = {"run": [row("floor", [2.0], "ms"), row("gone", [1.0], "ms")]}
    new = {"run": [row("floor", [3.0], "ms"), row("new", [1.0], "ms"), missing("crun run", "no")]}

    lines = compare(old, new).splitlines()

    assert [line for line in lines if "floor" in line and "+50.0%" in line]
    assert len(lines) == 3


def test_chart_is_svg_with_longer_bars_for_larger_values() -> None:
    rows = [row("small", [0.5], "ms"), row("large <&>", [300.0], "ms"), missing("none", "no")]

    root = ElementTree.fromstring(chart({"run": rows}))

    bars = [bar for bar in root.iter("{http://www.w3.org/2000/svg}rect") if "x" in bar.attrib]
    widths = [float(bar.attrib["width"]) for bar in bars]
    assert len(widths) == 2
    assert widths[0] < widths[1]


def test_seccomp_filter_keeps_the_rules_of_the_capabilities_and_of_the_machine() -> None:
    def rule(name: str, **conditions: object) -> dict[str, object]:
        return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": None, **conditions}

    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "syscalls": [
            rule("read"),
            rule("chroot", includes={"caps": ["CAP_SYS_CHROOT"]}),
            rule("bpf", includes={"caps": ["CAP_SYS_ADMIN"]}),
            rule("socket", excludes={"caps": ["CAP_AUDIT_WRITE"]}),
            rule("arch_prctl", includes={"arches": ["amd64", "x32"]}),
            rule("breakpoint", includes={"arches": ["arm"]}),
        ],
    }

    made = seccomp_filter(profile, ["SCMP_ARCH_X86_64"])

    assert [entry["names"] for entry in made["syscalls"]] == [["read"], ["chroot"], ["arch_prctl"]]
    assert made["syscalls"][0] == {"names": ["read"], "action": "SCMP_ACT_ALLOW"}
    assert made["defaultErrnoRet"] == 38
    assert made["architectures"] == ["SCMP_ARCH_X86_64"]


def test_every_benchmark_is_found_by_its_file_name() -> None:
    assert "run" in names()


@pytest.mark.parametrize(
    ("arguments", "complaint"), [(["nosuch"], "no benchmark named nosuch"), (["run", "--plot", "x.png"], "x.svg")]
)
def test_wrong_arguments_are_refused(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert complaint in capsys.readouterr().err


def test_json_can_be_compared_with_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def entry(options: Options) -> list[dict[str, object]]:
        return [row("floor", [2.0], "ms")]

    monkeypatch.setattr("benchmarks.__main__._entry", lambda name: entry)
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    saved = tmp_path / "old.json"

    assert main(["run", "--json", str(saved)]) == 0
    assert main(["run", "--compare", str(saved), "--check"]) == 0

    assert json.loads(saved.read_text())["results"]["run"][0]["value"] == 2.0
    assert "+0.0%" in capsys.readouterr().out
