"""What can be asked of a container that outlives its caller: keyword arguments of `containers.create` and `run`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pyrt.container.checks import boolean, fail, integer, mapping
from pyrt.container.options import RunOptions
from pyrt.container.policy import LogConfig, RestartPolicy, parse_log_config, parse_restart

__all__ = ["CreateOptions", "check_create", "run_options"]


class CreateOptions(RunOptions, total=False):
    """RunOptions, and what makes sense only for a container that is kept by a monitor.

    stdin_open      True: the program's standard input is a pipe that attached clients write to. Default False.
    stdin_once      True: that pipe ends with the first client that was attached to it. Default False.
    auto_remove     True: the container goes when its program has ended. Default False.
    restart_policy  {"Name": "on-failure", "MaximumRetryCount": 5} or text as `docker run --restart` takes it:
                    "no" (the default), "on-failure[:N]", "always", "unless-stopped". The pause before a restart is
                    100 ms at first and doubles up to a minute; a run of 10 s begins it anew.
    stop_timeout    seconds between the stop signal and SIGKILL; default 10.
    log_config      {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3", "mode": "non-blocking"}};
                    Type "none" keeps no log. Default json-file without a limit.
    """

    stdin_open: bool | None
    stdin_once: bool | None
    auto_remove: bool | None
    restart_policy: str | Mapping[str, str | int] | None
    stop_timeout: int | None
    log_config: Mapping[str, Any] | None


_OWN = CreateOptions.__optional_keys__ - RunOptions.__optional_keys__


def run_options(options: CreateOptions) -> RunOptions:
    """Give what is about the program itself, of a container that is kept."""
    return cast(RunOptions, {**{name: value for name, value in options.items() if name not in _OWN}, "remove": False})


def check_create(options: Mapping[str, Any]) -> tuple[RestartPolicy, LogConfig]:
    """Check what is not RunOptions', and give the policy and the log. Raises InvalidOption."""
    for name in ("stdin_open", "stdin_once", "auto_remove"):
        boolean(options.get(name) or False, name)
    if (seconds := options.get("stop_timeout")) is not None:
        integer(seconds, "stop_timeout", -1, 2**31 - 1)
    policy = parse_restart(options.get("restart_policy"))
    if options.get("auto_remove") and policy.name != "no":
        fail("restart_policy", "a container that goes at its end is not restarted: say auto_remove or restart_policy")
    return policy, parse_log_config(mapping(options.get("log_config"), "log_config"))
