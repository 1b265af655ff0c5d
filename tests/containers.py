"""Engines and shells in containers, as fixtures of tests/integration and tests/hostile.

A test that asks for `box` runs with every kind of rights that this host gives, one that asks for `shell` with the
usual.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrt import Engine, Process, Result

__all__ = [
    *("Shell", "box", "engine", "image", "public_directory", "public_rootfs", "root_shell", "scratch", "shell"),
    "small_image",
]

WAYS = [
    pytest.param("host", marks=pytest.mark.needs("root", "overlay"), id="root"),
    pytest.param("private", marks=pytest.mark.needs("userns", "overlay"), id="user-namespace"),
]


@pytest.fixture(scope="session")
def public_directory() -> Iterator[Path]:
    """A directory through which everybody may pass, as the ids of a user namespace have to."""
    path = Path(tempfile.mkdtemp(prefix="pyrt-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def public_rootfs(rootfs: Path, public_directory: Path) -> Path:
    """The root file system of the tests, where everybody can read it."""
    copy = Path(shutil.copytree(rootfs, public_directory / "rootfs", symlinks=True))
    copy.chmod(0o755)
    return copy


@pytest.fixture
def scratch(public_directory: Path) -> Iterator[Path]:
    """An empty directory of the host that everybody may enter."""
    path = Path(tempfile.mkdtemp(dir=public_directory))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def engine(public_directory: Path) -> Iterator[Engine]:
    """An engine on a directory of its own, which must be as empty at the end as a closed engine leaves it."""
    root = Path(tempfile.mkdtemp(prefix="engine-", dir=public_directory))
    root.chmod(0o711)
    with Engine(root) as made:
        yield made
    left = [str(path) for path in root.rglob("*") if path.parent.name in ("copies", "stage")]
    shutil.rmtree(root)
    assert not left


@pytest.fixture
def image(public_rootfs: Path) -> str:
    """The name of the test image."""
    return f"rootfs:{public_rootfs}"


def small_image(source: Path, target: Path) -> Path:
    """Make a root file system with few programs, to be changed; busybox and nop are hard links, not to be written."""
    for name in ("bin", "etc", "dev", "proc", "sys", "root", "home/app", "var", "tmp"):
        (target / name).mkdir(parents=True)
    (target / "tmp").chmod(0o1777)
    for name in ("busybox", "nop"):
        os.link(source / "bin" / name, target / "bin" / name)
    for applet in "cat echo ls pwd sh sleep true".split():
        (target / "bin" / applet).symlink_to("busybox")
    for file in (source / "etc").iterdir():
        shutil.copy(file, target / "etc")
    return target


class Shell:
    """Runs commands in new containers of the test image; options given to it come first."""

    def __init__(self, engine: Engine, image: str, **options: Any) -> None:
        self.engine = engine
        self.image = image
        self.options = options

    @property
    def is_inside(self) -> bool:
        """Whether the containers have a user namespace."""
        return bool(self.options.get("userns_mode") == "private")

    def run(self, *args: str, **options: Any) -> Result:
        """Run a program; give its Result, with text."""
        return self.engine.run(self.image, args, **{"text": True, "timeout": 60, **self.options, **options})

    def start(self, script: str, **options: Any) -> Process:
        """Start a script and give its Process."""
        return self.engine.popen(self.image, ["sh", "-c", script], **{**self.options, **options})

    def sh(self, script: str, **options: Any) -> str:
        """Run a script that must end well; give what it says without the spaces around."""
        done = self.run("sh", "-ec", script, **options)
        assert done.returncode == 0, f"{done.exit_cause}: {done.stdout}{done.stderr}"
        return str(done.stdout).strip()

    def fails(self, script: str, **options: Any) -> str:
        """Run a script that must fail; give what it complains of."""
        done = self.run("sh", "-c", script, **options)
        assert done.returncode > 0, f"{done.exit_cause}: {done.stdout}{done.stderr}"
        return str(done.stderr)


@pytest.fixture(params=WAYS)
def box(request: pytest.FixtureRequest, engine: Engine, image: str) -> Shell:
    """A shell in containers without and with a user namespace: a test that asks for it runs twice."""
    return Shell(engine, image, userns_mode=request.param)


@pytest.fixture
def shell(root_or_user: str, engine: Engine, image: str) -> Shell:
    """A shell in containers as this user gets them who asks for nothing special."""
    return Shell(engine, image)


@pytest.fixture
def root_shell(engine: Engine, image: str) -> Shell:
    """A shell for tests that need("root")."""
    assert os.geteuid() == 0
    return Shell(engine, image)
