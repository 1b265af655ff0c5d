"""What a command line of `pyrt run` asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from pyrt.cli.arguments import Given, read_flags
from pyrt.cli.flags import BY_NAME, REFUSED
from pyrt.container import RunOptions
from pyrt.errors import InvalidOption

__all__ = ["Request", "read_request"]

ALL_STREAMS = frozenset({"stdin", "stdout", "stderr"})
_OWN = frozenset("attach help interactive output_limit quiet sig_proxy timeout".split())


@dataclass(frozen=True, slots=True)
class Request:
    """A container to run, and how this terminal takes part in it.

    `args` None means the image's own command. `attached` are the streams that are passed on; `timeout` is in seconds.
    """

    image: str = ""
    args: tuple[str, ...] | None = None
    options: RunOptions = field(default_factory=RunOptions)
    interactive: bool = False
    attached: frozenset[str] = ALL_STREAMS
    sig_proxy: bool = True
    timeout: float | None = None
    output_limit_bytes: int | None = None
    quiet: bool = False
    help: bool = False

    @property
    def tty(self) -> bool:
        """Whether the program gets a terminal."""
        return bool(self.options.get("tty"))


def read_request(words: Sequence[str]) -> Request:
    """Read `[FLAGS] IMAGE [--] [COMMAND [ARG…]]`. Raises InvalidOption, which names the flag."""
    given, rest = read_flags(BY_NAME, REFUSED, words)
    values = collect(given)
    if values.get("help"):
        return Request(help=True)
    if not rest:
        raise InvalidOption("is missing; pyrt run --help shows how to call it", argument="IMAGE")
    image, args = rest[0], rest[2:] if rest[1:2] == ["--"] else rest[1:]
    return Request(
        image=image,
        args=tuple(args) or None,
        options=run_options(values),
        interactive=values.get("interactive", False),
        attached=frozenset(values.get("attach", ())) or ALL_STREAMS,
        sig_proxy=values.get("sig_proxy", True),
        timeout=values.get("timeout"),
        output_limit_bytes=values.get("output_limit"),
        quiet=values.get("quiet", False),
    )


def collect(given: Sequence[Given]) -> dict[str, Any]:
    """Give the values by option: of a flag that may be given again all, of another the last."""
    values: dict[str, Any] = {}
    for flag, value in given:
        if flag.many:
            values.setdefault(flag.option, []).append(value)
        else:
            values[flag.option] = value
    return values


def run_options(values: Mapping[str, Any]) -> RunOptions:
    """Give the options of the container: files before what is said in words, lists of pairs as mappings."""
    options = {name: value for name, value in values.items() if name not in _OWN}
    variables = [*options.pop("environment_files", ()), *options.pop("environment", ())]
    if variables:
        options["environment"] = {name: value for mapping in variables for name, value in mapping.items()}
    if files := options.pop("label_files", ()):
        options["labels"] = [*(label for labels in files for label in labels), *options.get("labels", ())]
    for name in ("sysctls", "storage_opt"):
        if name in options:
            options[name] = dict(options[name])
    if "entrypoint" in options:  # one word, as in docker; "" takes the image's away
        options["entrypoint"] = [options["entrypoint"]] if options["entrypoint"] else []
    landlock = {name: options.pop(f"landlock_{name}", ()) for name in ("read_only", "read_write")}
    if any(landlock.values()):
        options["landlock"] = landlock
    return cast(RunOptions, options)
