"""What a further program in a container is by default, and what is asked of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from pyrt.container import ContainerExecutor, HostFacts, RunOptions
from pyrt.errors import InvalidOption
from pyrt.oci.config import ImageConfig
from pyrt.runtime.capabilities import DEFAULT
from pyrt.runtime.exec import ExecOptions, ExecResult, Target
from pyrt.runtime.execs import ExecSpec
from pyrt.runtime.seccomp import UNCONFINED
from tests.unit.container.asking import HOST, ROOTLESS, draft

IMAGE = ImageConfig(env=("FROM=image", "HOME=/image"), working_dir="/srv", entrypoint=("/entry",), cmd=("x",))


def spec(
    asked: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    host: HostFacts = HOST,
    config: ImageConfig = IMAGE,
) -> ExecSpec:
    """Decide about a program in a container of these options; this process stands for the container's first one."""
    made = draft(options, host=host, config=config)
    executor = ContainerExecutor(cast(Any, None), host, config, cast(RunOptions, options or {}), made)
    pidfd = os.pidfd_open(os.getpid())
    try:
        return executor.spec(Target(os.getpid(), pidfd, cast(Any, None)), ["prog", "a"], cast(ExecOptions, asked or {}))
    finally:
        os.close(pidfd)


def test_all_is_as_the_container_has_it() -> None:
    own = draft({"environment": {"A": "1"}}, config=IMAGE).spec

    found = spec(options={"environment": {"A": "1"}})

    assert found.process == replace(own.process, args=("prog", "a"))
    assert found.namespaces == own.linux.namespaces
    assert (found.profile, found.landlock, found.stop_signal) == (None, None, 15)


def test_the_entrypoint_is_not_before_it() -> None:
    assert spec().process.args == ("prog", "a")


def test_the_environment_is_laid_over_the_containers() -> None:
    env = spec({"environment": {"B": 2, "FROM": None}}, {"environment": ["A=1", "B=1"]}).process.env

    assert {"A=1", "B=2", "HOME=/image"} <= set(env)
    assert not [entry for entry in env if entry.startswith("FROM=")]


def test_the_terminal_is_its_own() -> None:
    assert not spec(options={"tty": True}).process.terminal
    assert "TERM=xterm" not in spec(options={"tty": True}).process.env
    found = spec({"tty": True, "console_size": (3, 4)}).process
    assert (found.terminal, found.console_size) == (True, (3, 4))
    assert "TERM=xterm" in found.env


def test_a_number_is_a_user_everywhere() -> None:
    found = spec({"user": 4242}).process

    assert (found.user.uid, found.user.gid) == (4242, 0)
    assert found.capabilities.bounding == DEFAULT
    assert not found.capabilities.effective


def test_groups_of_the_container_are_its_own_too() -> None:
    assert spec({"user": 4242}, {"group_add": [7]}).process.user.additional_gids == (0, 7)


@pytest.mark.parametrize("host", [HOST, ROOTLESS])
def test_privileged(host: HostFacts) -> None:
    found = spec({"privileged": True}, {"security_opt": ["no-new-privileges"]}, host=host)

    assert found.process.capabilities.effective == host.known
    assert found.process.no_new_privileges
    assert found.profile == UNCONFINED


def test_a_privileged_container_has_privileged_programs() -> None:
    found = spec(options={"privileged": True})

    assert (found.process.capabilities.effective, found.profile) == (HOST.known, UNCONFINED)


def test_what_confines_the_container_confines_it() -> None:
    options = {"cap_drop": ["ALL"], "landlock": {"read_only": ["/"]}, "ulimits": {"nofile": 9}, "stop_signal": "QUIT"}
    found, own = spec(options=options), draft(options)

    assert found.process.capabilities.bounding == frozenset()
    assert found.process.rlimits == own.spec.process.rlimits
    assert (found.landlock, found.stop_signal) == (own.landlock, 3)


@pytest.mark.parametrize(
    ("asked", "argument"),
    [
        ({"user": -1}, "user"),
        ({"user": "a:b:c"}, "user"),
        ({"workdir": "x"}, "workdir"),
        ({"environment": "A=1"}, "environment"),
        ({"tty": 1}, "tty"),
        ({"privileged": "no"}, "privileged"),
        ({"cwd": "/"}, "cwd"),
    ],
)
def test_bad_input(asked: dict[str, Any], argument: str) -> None:
    with pytest.raises(Exception) as caught:
        spec(asked)
    assert getattr(caught.value, "argument", None) == argument
    assert isinstance(caught.value, InvalidOption) or argument == "user"


def test_a_result_is_docker_pys_pair() -> None:
    code, output = result = ExecResult(3, b"x", omitted_bytes=2)

    assert (code, output, result.omitted_bytes, result.usage, result.exit_cause) == (3, b"x", 2, None, None)
    assert (result.exit_code, result.output) == result == (3, b"x")
