"""Errors in one line, exit codes, and what a start loads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from pyrt.cli.main import guarded, main
from pyrt.errors import CommandError, InvalidOption, PyrtError, Unsupported

TOP = Path(__file__).resolve().parents[3]


def raising(error: BaseException) -> Callable[[], int]:
    def verb() -> int:
        raise error

    return verb


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (PyrtError("no luck"), 125, "pyrt: no luck\n"),
        (PyrtError("two\n\nlines\n"), 125, "pyrt: two; lines\n"),
        (CommandError("x: no such program", exit_code=127), 127, "pyrt: x: no such program\n"),
        (CommandError("x cannot be executed", exit_code=126), 126, "pyrt: x cannot be executed\n"),
        (InvalidOption("too small", argument="mem_limit"), 125, "pyrt: --memory: too small\n"),
        (Unsupported("mem_swappiness", "not here"), 125, "pyrt: --memory-swappiness: not here\n"),
        (OSError(24, "Too many open files"), 125, "pyrt: [Errno 24] Too many open files\n"),
        (KeyError("x"), 125, "pyrt: internal error (KeyError, see PYRT_DEBUG=1): 'x'\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 125, ""),
    ],
)
def test_every_error_is_one_line_and_a_code(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYRT_DEBUG", raising=False)

    assert guarded(raising(error)) == code
    assert capsys.readouterr() == ("", line)


def test_a_defect_shows_where_it_is_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYRT_DEBUG", "1")

    with pytest.raises(KeyError):
        guarded(raising(KeyError("x")))


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    import pyrt

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"pyrt {pyrt.__version__}\n"


@pytest.mark.parametrize("words", [["run", "--help"], ["--root", "/nonexistent", "run", "--help"]])
def test_the_help_of_run_shows_every_flag(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from pyrt.cli.flags import SECTIONS

    assert main(words) == 0
    out = capsys.readouterr().out
    assert out.startswith("Usage: pyrt run [FLAGS] IMAGE [--] [COMMAND [ARG…]]\n")
    assert [flag.name for flags in SECTIONS.values() for flag in flags if flag.help and flag.name not in out] == []
    assert max(map(len, out.splitlines())) <= 100


def test_the_help_lists_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert {"run", "doctor"} <= {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()}


def test_no_words_show_the_help_as_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("Usage: pyrt ")


@pytest.mark.parametrize(
    ("words", "code", "where"),
    [
        (["rnu"], 1, "pyrt"),
        (["image", "lss"], 1, "pyrt image"),
        (["--rot", "x"], 125, "pyrt"),
        (["doctor", "--jsn"], 125, "pyrt doctor"),
        (["image", "ls", "--nonsense"], 125, "pyrt image ls"),
        (["images", "--quiet=maybe"], 125, "pyrt images"),
        (["history"], 1, "pyrt history"),
        (["history", "a", "b"], 1, "pyrt history"),
    ],
)
def test_words_that_are_wrong_are_refused_as_by_docker(
    words: list[str], code: int, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("pyrt: ")
    assert err.endswith(f"; see `{where} --help`\n")


def test_what_runs_no_container_fails_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(raising(PyrtError("no luck")), 1) == 1
    assert guarded(raising(CommandError("x: no such program", exit_code=127)), 1) == 127
    assert guarded(raising(FileNotFoundError(2, "No such file", "/x")), 1) == 1
    assert capsys.readouterr().err.endswith("pyrt: /x: No such file\n")


def test_run_behind_the_root_fails_with_its_own_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(tmp_path), "run", "--nonsense"]) == 125
    assert capsys.readouterr().err.startswith("pyrt: --nonsense: there is no such flag")


@pytest.mark.parametrize(("words", "home"), [([], "verbs"), (["image"], "image")])
def test_every_verb_has_a_help_and_a_line_in_the_list(
    words: list[str], home: str, capsys: pytest.CaptureFixture[str]
) -> None:
    verbs = import_module(f"pyrt.cli.{home}").VERBS

    assert main([*words, "--help"]) == 0
    listed = capsys.readouterr().out
    assert [verb for verb, text in verbs.items() if f"  {verb} " not in listed or text.split()[0] not in listed] == []
    for verb in verbs:
        assert main([*words, verb, "--help"]) == 0
        assert capsys.readouterr().out.startswith(" ".join(["Usage: pyrt", *words, verb]))


def modules_after(program: str) -> set[str]:
    command = [sys.executable, "-c", f"import sys\n{program}\nprint(*sys.modules)"]
    return set(subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, text=True, check=True).stdout.split())


def test_to_start_a_run_loads_no_parser_of_others_and_no_loop() -> None:
    loaded = modules_after("from pyrt.cli.main import main; main(['run', 'rootfs:/nonsense']); import pyrt.cli.run")

    assert "pyrt.cli.run" in loaded
    assert not loaded & {"asyncio", "click", "rich", "pyroute2", "json", "logging", "argparse", "ctypes", "cffi"}


def test_the_doctor_draws_no_table_without_a_terminal() -> None:
    loaded = modules_after("import pyrt.cli.doctor as doctor; doctor.in_lines(()); doctor.in_json(())")

    assert "click" in loaded
    assert not loaded & {"asyncio", "rich"}
