"""What a monitor does when its container ends, and with what the container writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyrt.container.checks import fail, mapping, text
from pyrt.container.sizes import size

__all__ = ["LogConfig", "RestartPolicy", "parse_log_config", "parse_restart"]

_NAMES = ("no", "on-failure", "always", "unless-stopped")
_LOG_OPTIONS = frozenset({"max-size", "max-file", "mode", "compress"})


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When a container is started again: `name` as Docker has them; `retries` of on-failure, 0 is without end."""

    name: str = "no"
    retries: int = 0

    @property
    def is_for_boot(self) -> bool:
        """Whether it also holds when the machine has come up again."""
        return self.name in ("always", "unless-stopped")


@dataclass(frozen=True, slots=True)
class LogConfig:
    """How the log is kept: its size before it is rotated (0: never), and how many files.

    `is_blocking` says that the program waits for a slow attached reader, `compresses` that rotated files are compressed
    by who reads the log or starts the container next.
    """

    driver: str = "json-file"
    max_bytes: int = 0
    max_files: int = 1
    is_blocking: bool = True
    compresses: bool = False


def parse_restart(given: object) -> RestartPolicy:
    """Read docker-py's mapping, or the text of `docker run --restart`. Raises InvalidOption."""
    if given is None or given == "" or given == {}:
        return RestartPolicy()
    if isinstance(given, Mapping):
        name, retries = given.get("Name") or "no", given.get("MaximumRetryCount", 0)
        if unknown := set(given) - {"Name", "MaximumRetryCount"}:
            fail("restart_policy", f"{min(map(str, unknown))!r} is neither Name nor MaximumRetryCount")
    else:
        name, colon, count = text(given, "restart_policy").partition(":")
        if colon and not count.isdecimal():
            fail("restart_policy", f"{count!r} is no number of retries")
        retries = int(count or 0)
    if name not in _NAMES:
        fail("restart_policy", f"{name!r} is none of {', '.join(_NAMES)}")
    if not isinstance(retries, int) or isinstance(retries, bool) or not 0 <= retries < 2**31:
        fail("restart_policy", f"{retries!r} is no number of retries")
    if retries and name != "on-failure":
        fail("restart_policy", f"only on-failure counts retries, not {name}")
    return RestartPolicy(name, retries)


def parse_log_config(given: Mapping[str, Any]) -> LogConfig:
    """Read docker-py's {"Type": …, "Config": {…}}. Raises InvalidOption."""
    driver = {key.lower(): value for key, value in given.items()}.get("type") or "json-file"
    options = mapping({key.lower(): value for key, value in given.items()}.get("config"), "log_config")
    if driver not in ("json-file", "local", "none"):
        fail("log_config", f"there is no log driver {driver!r}: json-file, local or none")
    if unknown := set(options) - _LOG_OPTIONS:
        fail("log_config", f"{min(unknown)!r} is none of {', '.join(sorted(_LOG_OPTIONS))}")
    is_local = driver == "local"
    limit = options.get("max-size", "20m" if is_local else "-1")
    files = str(options.get("max-file", "5" if is_local else "1"))
    mode = options.get("mode", "blocking")
    if not files.isdecimal() or not 0 < int(files) <= 1000:
        fail("log_config", f"max-file is a number from 1 to 1000, not {files!r}")
    compress = str(options.get("compress", is_local)).lower()
    if compress not in ("true", "false"):
        fail("log_config", f"compress is true or false, not {compress!r}")
    if mode not in ("blocking", "non-blocking"):
        fail("log_config", f"mode is blocking or non-blocking, not {mode!r}")
    max_bytes = 0 if str(limit) == "-1" else size(limit, "log_config")
    if int(files) > 1 and not max_bytes:
        fail("log_config", "max-file needs max-size")
    return LogConfig(driver, max_bytes, int(files), mode == "blocking", compress == "true")
