"""What a command line of `pyrt run` or `pyrt create` asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

from pyrt.cli.arguments import Flag, Given, read_flags
from pyrt.cli.flags import BY_NAME, REFUSED
from pyrt.container import RunOptions
from pyrt.errors import InvalidOption

if TYPE_CHECKING:
    from pyrt.container import CreateOptions

__all__ = ["Request", "collect", "joined_environment", "read_request"]

ALL_STREAMS = frozenset({"stdin", "stdout", "stderr"})
_KEPT = frozenset("restart_policy stop_timeout log_driver log_options cidfile".split())
_FOREGROUND = frozenset("detach sig_proxy timeout output_limit".split())
_OWN = _KEPT | _FOREGROUND | frozenset("attach help interactive quiet".split())


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
    detach: bool = False
    kept: Mapping[str, Any] = field(default_factory=dict)
    cidfile: str | None = None

    @property
    def tty(self) -> bool:
        """Whether the program gets a terminal."""
        return bool(self.options.get("tty"))

    @property
    def create_options(self) -> CreateOptions:
        """The options of a container that outlives this command: `--rm` removes it at its end."""
        options: dict[str, Any] = {**self.options, **self.kept}
        if options.pop("remove", False):
            options["auto_remove"] = True
        if self.interactive:
            options["stdin_open"] = True
            options["stdin_once"] = not self.detach and "stdin" in self.attached
        return cast("CreateOptions", options)


def read_request(words: Sequence[str], verb: Literal["run", "create"] = "run") -> Request:
    """Read `[FLAGS] IMAGE [--] [COMMAND [ARG…]]`. Raises InvalidOption, which names the flag."""
    given, rest = read_flags(BY_NAME, REFUSED, words)
    values = collect(given)
    if values.get("help"):
        return Request(help=True)
    for flag, _ in given:
        _check(flag, verb, values)
    if not rest:
        raise InvalidOption(f"is missing; pyrt {verb} --help shows how to call it", argument="IMAGE")
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
        detach=values.get("detach", False),
        kept=_kept_options(values),
        cidfile=values.get("cidfile"),
    )


def _check(flag: Flag, verb: str, values: Mapping[str, Any]) -> None:
    """Refuse what makes no sense for a verb, or beside --detach."""
    is_kept = verb == "create" or values.get("detach")
    if verb == "create" and flag.option in _FOREGROUND:
        raise InvalidOption("it is a flag of `pyrt run`", argument=flag.name)
    if not is_kept and flag.option in _KEPT:
        raise InvalidOption("a container that this command runs ends with it: say -d too", argument=flag.name)
    if is_kept and flag.option in ("timeout", "output_limit"):
        raise InvalidOption("nobody is there to see to it: leave out -d", argument=flag.name)
    if values.get("detach") and flag.option == "attach":
        raise InvalidOption("with --detach nothing is attached: leave out one of the two", argument=flag.name)


def _kept_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give the options that only a kept container has."""
    options = {name: values[name] for name in ("restart_policy", "stop_timeout") if name in values}
    if "log_driver" in values or "log_options" in values:
        log = {"Type": values.get("log_driver", "json-file"), "Config": dict(values.get("log_options", ()))}
        options["log_config"] = log
    return options


def collect(given: Sequence[Given]) -> dict[str, Any]:
    """Give the values by option: of a flag that may be given again all, of another the last."""
    values: dict[str, Any] = {}
    for flag, value in given:
        if flag.many:
            values.setdefault(flag.option, []).append(value)
        else:
            values[flag.option] = value
    return values


def joined_environment(values: Mapping[str, Any]) -> dict[str, str | None]:
    """Give all variables: those of files, and over them what is said in words."""
    variables = [*values.get("environment_files", ()), *values.get("environment", ())]
    return {name: value for mapping in variables for name, value in mapping.items()}


def run_options(values: Mapping[str, Any]) -> RunOptions:
    """Give the options of the container: files before what is said in words, lists of pairs as mappings."""
    options = {name: value for name, value in values.items() if name not in _OWN}
    options.pop("environment_files", None)
    if variables := joined_environment(values):
        options["environment"] = variables
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
