"""Docker's rules for flags."""

from __future__ import annotations

import pytest

from pyrt.cli.arguments import Flag, read_flags
from pyrt.errors import InvalidOption


def plain(text: str, name: str) -> str:
    return text


FLAGS = [
    Flag(("-i", "--interactive"), "interactive", None),
    Flag(("-t", "--tty"), "tty", None),
    Flag(("-e", "--env"), "environment", plain, True, "NAME[=VALUE]"),
    Flag(("-m", "--memory"), "mem_limit", plain, False, "SIZE"),
]
BY_NAME = {name: flag for flag in FLAGS for name in flag.names}


def read(*words: str) -> tuple[list[tuple[str, object]], list[str]]:
    given, rest = read_flags(BY_NAME, {"--detach": "not yet", "-d": "not yet"}, words)
    return [(flag.option, value) for flag, value in given], rest


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["-it"], [("interactive", True), ("tty", True)]),
        (["-e", "A=b"], [("environment", "A=b")]),
        (["-eA=b"], [("environment", "A=b")]),
        (["-e=A=b"], [("environment", "A=b")]),
        (["--env", "A=b"], [("environment", "A=b")]),
        (["--env=A=b"], [("environment", "A=b")]),
        (["--env="], [("environment", "")]),
        (["-ite", "A"], [("interactive", True), ("tty", True), ("environment", "A")]),
        (["-itm64m"], [("interactive", True), ("tty", True), ("mem_limit", "64m")]),
        (["--tty=false"], [("tty", False)]),
        (["--tty=T"], [("tty", True)]),
        (["-t=0"], [("tty", False)]),
        (["-m", "-1"], [("mem_limit", "-1")]),
        (["-m", "--"], [("mem_limit", "--")]),
        ([], []),
    ],
)
def test_a_flag_is_read_in_every_spelling(words: list[str], given: list[tuple[str, object]]) -> None:
    assert read(*words, "image", "-t") == (given, ["image", "-t"])


def test_two_dashes_end_the_flags() -> None:
    assert read("-t", "--", "-i", "x") == ([("tty", True)], ["-i", "x"])


def test_a_single_dash_is_a_word() -> None:
    assert read("-", "-t") == ([], ["-", "-t"])


@pytest.mark.parametrize(
    ("words", "argument", "message"),
    [
        (["--memry", "1"], "--memry", "did you mean --memory?"),
        (["-x"], "-x", "no such flag"),
        (["-itx"], "-x", "no such flag"),
        (["--env"], "--env", "needs a value, NAME"),
        (["-te"], "-e", "needs a value"),
        (["--tty=perhaps"], "--tty", "'perhaps' is neither true nor false"),
        (["--detach", "image"], "--detach", "not yet"),
        (["-itd", "image"], "-d", "not yet"),
    ],
)
def test_a_wrong_flag_is_named(words: list[str], argument: str, message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        read(*words)

    assert caught.value.argument == argument
    assert message in str(caught.value)
