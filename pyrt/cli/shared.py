"""What the verbs have in common: the engine they work on, and options that several of them have."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pyrt.cli.complete import container_names
from pyrt.cli.detach_keys import DEFAULT_KEYS
from pyrt.cli.format import complain, in_flags
from pyrt.errors import InvalidOption, PyrtError

if TYPE_CHECKING:
    from pyrt.container import Container
    from pyrt.engine import Engine
    from pyrt.image import Image

__all__ = [
    "agrees",
    "attempt_each",
    "containers",
    "detach_keys",
    "filters",
    "format_option",
    "opened",
    "read_filters",
    "signal_option",
    "timeout_option",
    "verb",
]

_TRUE = frozenset({"1", "t", "T", "true", "True", "TRUE"})  # docker's
_FALSE = frozenset({"0", "f", "F", "false", "False", "FALSE"})
F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def opened(root: str | None) -> Iterator[Engine]:
    """Open the engine that `pyrt --root` names, for as long as a verb takes."""
    from pyrt.engine import Engine

    with Engine(root) as engine:
        yield engine


class Verb(click.Command):
    """A verb whose switches may also be written as docker's: `--quiet=true`, `--human=false`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        return super().parse_args(ctx, [word for each in args[:end] for word in self._plain(ctx, each)] + args[end:])

    def _plain(self, ctx: click.Context, word: str) -> Sequence[str]:
        name, equals, value = word.partition("=")
        switches = [each for each in self.params if isinstance(each, click.Option) and each.is_flag]
        option = next((each for each in switches if equals and name in each.opts), None)
        if option is None:
            return (word,)
        if value not in _TRUE | _FALSE:
            raise click.BadOptionUsage(name, f"{name}: {value!r} is neither true nor false", ctx)
        return (name,) if value in _TRUE else option.secondary_opts[:1]


def verb(name: str, **settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a function a verb of this name."""
    return click.command(name, cls=Verb, **settings)


def filters(verb: F) -> F:
    """Add docker's `--filter`."""
    option = click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Only what matches.")
    return option(verb)


def format_option(verb: F) -> F:
    """Add docker's `--format`."""
    text = "A table, `json`, or a Go template such as `{{.ID}}`."
    return click.option("--format", "form", metavar="FORMAT", help=text)(verb)


def read_filters(given: Sequence[str]) -> dict[str, list[str]]:
    """Read `key=value` filters; those of one key are alternatives. Raises InvalidOption."""
    found: dict[str, list[str]] = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not equals:
            raise InvalidOption(f"{each!r}: write KEY=VALUE", argument="--filter")
        found.setdefault(key.strip().lower(), []).append(value.strip())
    return found


def containers(verb: F) -> F:
    """Add the names of one or more containers, `names`."""
    return click.argument("names", metavar="CONTAINER...", nargs=-1, required=True, shell_complete=container_names)(
        verb
    )


def detach_keys(verb: F) -> F:
    """Add docker's `--detach-keys`."""
    text = f"The keys that leave the container at a terminal (default {DEFAULT_KEYS})."
    return click.option("--detach-keys", default=DEFAULT_KEYS, metavar="KEYS", help=text)(verb)


def signal_option(verb: F) -> F:
    """Add docker's `--signal`."""
    return click.option("-s", "--signal", "signal", metavar="SIGNAL", help="Send SIGNAL, a name or number.")(verb)


def timeout_option(verb: F) -> F:
    """Add docker's `--timeout` of a stop."""
    text = "Kill it after so many seconds (default: as it was made, then 10); -1: never."
    return click.option("-t", "--timeout", "--time", "timeout", type=int, metavar="SECONDS", help=text)(verb)


def attempt_each(engine: Engine, names: Sequence[str], act: Callable[[Container[Image]], object]) -> int:
    """Do something with each container, at once, and print its name; say what failed, and give docker's exit code.

    What `act` gives is printed instead of the name unless it is None.
    """
    from concurrent.futures import ThreadPoolExecutor

    def attempt(name: str) -> object:
        try:
            done = act(engine.containers.get(name))
        except PyrtError as error:
            return error
        return name if done is None else done

    failed = 0
    pool = ThreadPoolExecutor(min(len(names), 50))
    try:
        for done in pool.map(attempt, names):
            if isinstance(done, PyrtError):
                failed = 1
                complain(in_flags(str(done)))
            else:
                click.echo(done)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # who is interrupted waits for none of them
    return failed


def agrees(question: str) -> bool:
    """Ask on the terminal, or whatever stdin is; only a yes is one."""
    click.echo(question, nl=False)
    return sys.stdin.readline().strip().lower() == "y"
