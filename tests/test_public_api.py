"""The public names of pyrt, and that stubs, docstrings and code agree on them."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import pyrt
from pyrt import errors

TOP = Path(__file__).resolve().parents[1]
PUBLIC = {
    "pyrt.container": {
        "Attachment",
        "Condition",
        "Container",
        "ContainerCollection",
        "CreateOptions",
        "Mount",
        "Result",
        "RunOptions",
        "Ulimit",
    },
    "pyrt.engine": {"Engine", "run"},
    "pyrt.files": {"ContainerFS", "Copied"},
    "pyrt.image": {"Image", "ImageCollection", "Progress"},
    "pyrt.layer": {"Change"},
    "pyrt.registry": {"Credentials", "RegistryOptions"},
    "pyrt.runtime.bundle": {"Landlock"},
    "pyrt.runtime.exec": {"ExecOptions", "ExecResult"},
    "pyrt.runtime.exit": {"Cancelled", "ExitCause", "Exited", "OutOfMemory", "OutputLimit", "Signalled", "TimedOut"},
    "pyrt.runtime.process": {"Process"},
    "pyrt.volume": {"Volume", "VolumeCollection"},
    "pyrt.errors": set(errors.__all__),
}
DOORS = sorted((TOP / "pyrt/_native").glob("*.pyx"))


def test_all_is_the_list() -> None:
    assert set(pyrt.__all__) == set().union(*PUBLIC.values())
    assert list(pyrt.__all__) == sorted(pyrt.__all__)


@pytest.mark.parametrize(("home", "name"), [(home, name) for home in PUBLIC for name in sorted(PUBLIC[home])])
def test_a_public_name_is_the_one_of_its_home(home: str, name: str) -> None:
    thing = getattr(pyrt, name)

    assert thing is getattr(import_module(home), name)
    assert inspect.getdoc(thing), f"{name} has no docstring"


def test_nothing_else_is_visible() -> None:
    program = "import pyrt; print(*[name for name in dir(pyrt) if not name.startswith('_')])"

    done = subprocess.run([sys.executable, "-c", program], cwd=TOP, capture_output=True, text=True, check=True)

    assert set(done.stdout.split()) == set(pyrt.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = pyrt.no_such_name


def test_every_error_stands_in_the_tree_of_the_docstring() -> None:
    defined = {name for name, thing in vars(errors).items() if inspect.isclass(thing) and issubclass(thing, Exception)}

    assert defined == set(errors.__all__)
    assert defined <= set(re.findall(r"\w+", errors.__doc__ or ""))


def test_every_error_is_a_pyrt_error() -> None:
    assert not [name for name in errors.__all__ if not issubclass(getattr(errors, name), errors.PyrtError)]


def test_the_changelog_knows_the_version() -> None:
    assert f"## [{pyrt.__version__}]" in (TOP / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("source", DOORS, ids=lambda path: path.stem)
def test_a_stub_names_what_its_door_has(source: Path) -> None:
    stub = source.with_suffix(".pyi")
    door = import_module(f"pyrt._native.{source.stem}")
    stubbed = {node.name: node for node in ast.parse(stub.read_text()).body if isinstance(node, _DEFINITIONS)}
    visible = {name: thing for name, thing in vars(door).items() if getattr(thing, "__module__", "") == door.__name__}

    assert {name for name in stubbed if not name.startswith("_")} == {name for name in visible if name[0] != "_"}
    for name, node in stubbed.items():
        if isinstance(node, ast.FunctionDef):
            wanted = [arg.arg for arg in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]]
            assert list(inspect.signature(visible[name]).parameters) == wanted, f"{stub.name}: {name}"
        else:
            methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
            assert methods <= set(dir(visible[name])), f"{stub.name}: {name}"


_DEFINITIONS = ast.FunctionDef | ast.ClassDef
