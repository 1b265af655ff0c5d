"""What is shipped works where nothing else is: sdist → wheel → clean virtual environment → a container."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import pyrt

TOP = Path(__file__).resolve().parents[1]
UNSHIPPED = shutil.ignore_patterns(".git", ".venv", "build", "dist", "*.egg-info", "*.so", "__pycache__", "pyrt-init")
SOURCES = (".py", ".pyx", ".pxd", ".pyi", ".c", ".h")

pytestmark = pytest.mark.timeout(600)


def output(*command: str | Path, cwd: Path) -> str:
    """Run a command and give its standard output; fail with all that it said."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the sdist of a copy of the sources, and the wheel that was built from that sdist."""
    top = tmp_path_factory.mktemp("packaging")
    shutil.copytree(TOP, top / "sources", ignore=UNSHIPPED)
    output(sys.executable, "-m", "build", "--no-isolation", "--outdir", top / "dist", cwd=top / "sources")
    return top / "dist"


@pytest.fixture(scope="module")
def environment(dist: Path) -> Path:
    """The bin directory of a virtual environment that holds the wheel and what the wheel asks for."""
    top = dist.parent / "venv"
    output(sys.executable, "-m", "venv", top, cwd=dist)
    output(top / "bin/pip", "install", "--quiet", *dist.glob("*.whl"), cwd=dist)
    return top / "bin"


def test_sdist_holds_every_source(dist: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    copied = dist.parent / "sources"
    files = [path for folder in ("pyrt", "csrc") for path in (copied / folder).rglob("*") if path.suffix in SOURCES]

    assert {str(path.relative_to(copied)) for path in files} <= names
    assert {"LICENSE", "README.md", "CHANGELOG.md", "setup.py", "pyproject.toml"} <= names
    assert not [name for name in names if name.endswith((".so", "pyrt-init"))]


def test_wheel_holds_the_program_and_no_source_of_c(dist: Path) -> None:
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as archive:
        program = archive.getinfo("pyrt/_native/pyrt-init")
        names = archive.namelist()

    assert program.external_attr >> 16 & 0o111, "pyrt-init is not executable"
    assert "pyrt/py.typed" in names
    assert not [name for name in names if name.endswith((".c", ".h", ".pyx")) or name.startswith("tests/")]


def test_program_is_static_and_needs_no_relocation(dist: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as archive:
        program = archive.extract("pyrt/_native/pyrt-init", tmp_path)

    headers = output("readelf", "--wide", "--program-headers", "--relocs", program, cwd=tmp_path)

    assert "INTERP" not in headers and "DYNAMIC" not in headers
    assert "There are no relocations in this file." in headers
    assert "RWE" not in headers


def test_clean_environment_imports_and_has_the_command(environment: Path, tmp_path: Path) -> None:
    version = output(environment / "python", "-c", "import pyrt; print(pyrt.__version__)", cwd=tmp_path)
    command = output(environment / "pyrt", "--version", cwd=tmp_path)

    assert version.strip() == pyrt.__version__
    assert pyrt.__version__ in command


def test_clean_environment_runs_a_container(environment: Path, tmp_path: Path, root_or_user: str) -> None:
    program = "import os; print('pid', os.getpid())"

    said = output(environment / "pyrt", "run", "host:", "--", "python3", "-c", program, cwd=tmp_path)

    assert said == "pid 1\n", root_or_user
