"""csrc as a library, and the small programs that the tests run, built once per session outside of the tree."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.native.library import CSRC, NATIVE, Csrc, build, compile_c


@pytest.fixture(scope="session")
def csrc(tmp_path_factory: pytest.TempPathFactory) -> Csrc:
    """Give the C functions, compiled strictly."""
    return build(tmp_path_factory.mktemp("csrc"))


@pytest.fixture(scope="session")
def witness_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the program that tells what it finds when it starts."""
    # A sanitizer would handle signals in it.
    return compile_c(tmp_path_factory.mktemp("witness") / "witness", [NATIVE / "witness.c"], "-fno-sanitize=all")


@pytest.fixture
def witness(witness_path: Path) -> Iterator[int]:
    """Give a descriptor of the witness."""
    fd = os.open(witness_path, os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.fixture(scope="session")
def hosted_init(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give pyrt-init as an ordinary program with a libc, which can carry sanitizers; its memory.c is libc's then."""
    sources = [
        *sorted((CSRC / "init").glob("*.c")),
        *(CSRC / f"prt_{name}.c" for name in ("mount", "path", "spawn", "error")),
    ]
    own = [source for source in sources if source.name not in ("memory.c", "main.c")]
    return compile_c(tmp_path_factory.mktemp("init") / "init", [NATIVE / "hosted_init.c", *own])


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """Give a descriptor of an empty directory, which is `tmp_path / "root"`."""
    (tmp_path / "root").mkdir()
    fd = os.open(tmp_path / "root", os.O_PATH)
    yield fd
    os.close(fd)
