"""The rules of the house: floors, borders, sizes. A failure names the file and the rule."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[1]
FLOORS = [
    ["errors"],
    ["oci", "_native"],
    ["content", "state"],
    ["layer"],
    ["snapshot", "files"],
    ["runtime", "network", "volume", "registry"],
    ["image", "container"],
    ["build", "sandbox"],
    ["engine"],
    ["cli", "api", "aio", "testing"],
    ["__main__"],
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# Where a package from outside, or a heavy one of the standard library, may be imported.
BOUNDS = {
    "Cython": {"_native"},
    "aiohttp": {"api", "registry.server"},
    "asyncio": {"aio", "api", "registry.server"},
    "backports": {"layer"},
    "cffi": {"_native"},
    "click": {"cli"},
    "compression": {"layer"},
    "cython": {"_native"},
    "isal": {"layer"},
    "libc": {"_native"},
    "cpython": {"_native"},
    "msgpack": {"state", "sandbox"},
    "pyroute2": {"network"},
    "pytest": {"testing"},
    "rich": {"cli"},
    "urllib3": {"registry", "build"},
}
UNLOADED = {"aiohttp", "asyncio", "backports", "click", "isal", "pyroute2", "rich", "urllib3"}
MAX_FILE_LINES = 399
MAX_FUNCTION_LINES = 49
CYTHON_IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\s+\(?([^#\n]*)|c?import\s+([\w.]+))", re.MULTILINE)
C_WORDS_OF_CONTROL = {"if", "for", "while", "switch", "do", "else", "return", "sizeof"}


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement: module "pyrt.oci", names ("Spec",), or no names for `import pyrt.oci`."""

    where: str
    module: str
    names: tuple[str, ...] = ()

    @property
    def room(self) -> str:
        """The room of pyrt that this reaches into, "" for the package itself."""
        parts = self.module.split(".")[1:]
        if not parts and self.names and set(self.names) <= FLOOR.keys():
            return self.names[0]
        return parts[0] if parts else ""


def sources(*suffixes: str, below: tuple[str, ...] = ("pyrt", "csrc", "tests", "benchmarks")) -> list[Path]:
    found = [path for name in below for path in (TOP / name).rglob("*") if path.suffix in suffixes]
    return sorted([*found, *([TOP / "setup.py"] if ".py" in suffixes and "tests" in below else [])])


def shown(path: Path) -> str:
    return str(path.relative_to(TOP))


def room_of(path: Path) -> str:
    """Give "oci" for pyrt/oci/spec.py, "errors" for pyrt/errors.py, and "" for pyrt/__init__.py."""
    first = path.relative_to(TOP / "pyrt").parts[0].partition(".")[0]
    return "" if first == "__init__" else first


def imports_of(path: Path) -> Iterator[Import]:
    text = path.read_text()
    if path.suffix in (".pyx", ".pxd"):
        for match in CYTHON_IMPORT.finditer(text):
            names = tuple(name.split()[0] for name in (match[2] or "").rstrip(")").split(",") if name.split())
            line = text.count("\n", 0, match.start()) + 1
            yield Import(f"{shown(path)}:{line}", match[1] or match[3], names)
        return
    for node in ast.walk(ast.parse(text)):
        where = f"{shown(path)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            yield from (Import(where, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{where}: imports are absolute"
            yield Import(where, node.module or "", tuple(alias.name for alias in node.names))


def exports_of(room: str) -> set[str]:
    """Give `__all__` of a room's __init__.py, read without running it."""
    init = TOP / "pyrt" / room / "__init__.py"
    for node in ast.parse(init.read_text() if init.exists() else "").body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            return set(ast.literal_eval(node.value))
    return set()


def rooms() -> list[str]:
    paths = [path.relative_to(TOP / "pyrt") for path in sources(".py", ".pyx", below=("pyrt",))]
    return sorted({path.parts[0] for path in paths if len(path.parts) > 1})


def test_imports_go_down_only() -> None:
    wrong = []
    for path in sources(".py", ".pyi", ".pyx", ".pxd", below=("pyrt",)):
        room = room_of(path)
        for found in imports_of(path):
            if found.module.split(".")[0] != "pyrt" or not room or found.room == room:
                continue
            above = FLOOR["engine"] + 0.5 if found.room == "" else FLOOR[found.room]
            if above >= FLOOR[room]:
                wrong.append(f"{found.where}: {room} imports {found.room or 'the package itself'}")

    assert not wrong, "\n".join(wrong)


def test_other_rooms_are_entered_by_their_exports() -> None:
    wrong = []
    for path in sources(".py", ".pyi", ".pyx", ".pxd", below=("pyrt",)):
        for found in imports_of(path):
            is_room = (TOP / "pyrt" / found.room).is_dir()
            if not found.module.startswith("pyrt.") or found.room == room_of(path) or not is_room:
                continue
            exports = exports_of(found.room)
            inner = found.module.split(".")[2:3]
            if not (inner and inner[0] in exports) and not set(found.names) <= exports:
                wrong.append(f"{found.where}: {', '.join(found.names)} of {found.module} not in {found.room}.__all__")

    assert not wrong, "\n".join(wrong)


def test_every_module_stands_on_a_floor() -> None:
    found = {room_of(path) for path in sources(".py", ".pyx", below=("pyrt",))} - {""}

    assert found <= FLOOR.keys(), f"no floor has {found - FLOOR.keys()}"


def test_packages_from_outside_stay_in_their_rooms() -> None:
    wrong = []
    for path in sources(".py", ".pyi", ".pyx", ".pxd", below=("pyrt",)):
        inner = ".".join(path.relative_to(TOP / "pyrt").with_suffix("").parts)
        for found in imports_of(path):
            package = found.module.split(".")[0]
            bounds = BOUNDS.get(package, set())
            is_free = package == "pyrt" or (package in sys.stdlib_module_names and package not in BOUNDS)
            if not is_free and not any(f"{inner}.".startswith(f"{bound}.") for bound in bounds):
                wrong.append(f"{found.where}: {package} belongs to {', '.join(sorted(bounds)) or 'no room'}")

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", rooms())
def test_a_room_says_what_it_takes_gives_and_raises(room: str) -> None:
    init = TOP / "pyrt" / room / "__init__.py"

    assert init.exists(), f"pyrt/{room} has no __init__.py"
    docstring = (ast.get_docstring(ast.parse(init.read_text())) or "").lower()
    lacking = [word for word in ("take", "give", "raise") if word not in docstring]
    assert not lacking, f"pyrt/{room}/__init__.py: the docstring does not say what the room {lacking[0]}s"


def test_files_stay_short() -> None:
    paths = sources(".py", ".pyx", ".pxd", ".pyi", ".c", ".h")
    lengths = {shown(path): len(path.read_text().splitlines()) for path in paths}

    assert not {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES}


def test_functions_stay_short() -> None:
    long = []
    for path in sources(".py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1 - docstring_lines(node)
                long += [f"{shown(path)}:{node.lineno} {node.name} {lines}"] if lines > MAX_FUNCTION_LINES else []
    for path in sources(".c", ".h"):
        for name, line, lines in c_functions(path.read_text()):
            long += [f"{shown(path)}:{line} {name} {lines}"] if lines > MAX_FUNCTION_LINES else []

    assert not long, "\n".join(long)


def docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Give the length of a docstring, which is documentation: the longer one of two is often the better one."""
    first = node.body[0]
    return (first.end_lineno or first.lineno) - first.lineno + 1 if ast.get_docstring(node) else 0


def c_functions(text: str) -> Iterator[tuple[str, int, int]]:
    """Give name, first line and length in lines of each function of a C source: blocks at depth 0 that follow `(…)`."""
    comments_and_literals = r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'|^[ \t]*#(?:\\\n|[^\n])*"
    blank = re.sub(comments_and_literals, lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.DOTALL | re.MULTILINE)
    depth, start, head = 0, 0, ""
    for match in re.finditer(r"[{}]", blank):
        if match[0] == "{":
            if depth == 0:
                start = match.start()
                head = blank[max(blank.rfind(mark, 0, start) for mark in ";}") + 1 : start].strip()
            depth += 1
            continue
        depth -= 1
        name = re.search(r"(\w+)\s*\(", head)
        if depth == 0 and head.endswith(")") and name and name[1] not in C_WORDS_OF_CONTROL:
            first = blank.count("\n", 0, start - len(head)) + 1
            yield name[1], first, blank.count("\n", 0, match.start()) + 2 - first


def test_the_scanner_of_c_functions_counts() -> None:
    structure = "struct s { int a; };\n#define F(x) {\n"
    function = 'static int f(int a)\n{\n\tif (a) { g("}"); } /* } */\n\treturn 0;\n}\n'

    assert list(c_functions(structure + function)) == [("f", 3, 5)]


def test_c_knows_no_python() -> None:
    assert not [shown(path) for path in sources(".c", ".h", below=("csrc",)) if "Python.h" in path.read_text()]


def test_every_door_has_a_stub() -> None:
    assert not [shown(path) for path in (TOP / "pyrt").rglob("*.pyx") if not path.with_suffix(".pyi").exists()]


def test_import_loads_nothing_heavy() -> None:
    program = "import sys, pyrt; print(*sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], cwd=TOP, capture_output=True, text=True, check=True)

    assert "pyrt" in done.stdout.split()
    assert not UNLOADED & set(done.stdout.split())


def test_loading_every_public_name_loads_nothing_heavy() -> None:
    program = "import sys, pyrt; [getattr(pyrt, name) for name in pyrt.__all__]; print(*sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], cwd=TOP, capture_output=True, text=True, check=True)

    assert not UNLOADED & set(done.stdout.split())
