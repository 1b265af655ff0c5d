"""Environment variables: where they come from, and which of two wins."""

from __future__ import annotations

from collections.abc import Mapping

from pyrt.container.checks import fail, sequence, text

__all__ = ["DEFAULT_PATH", "merge", "parse_env", "parse_env_file"]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def parse_env(value: object, *, argument: str = "environment") -> dict[str, str | None]:
    """Take `{"NAME": value}` or `["NAME=value", "NAME"]` and give the values by name.

    None (a name alone in the list) takes the variable out of what the image sets. Values may be text or numbers.
    Raises InvalidOption.
    """
    if isinstance(value, Mapping):
        return {_name(name, argument): _value(name, item, argument) for name, item in value.items()}
    found: dict[str, str | None] = {}
    for entry in sequence(value, argument):
        name, equals, rest = text(entry, argument).partition("=")
        found[_name(name, argument)] = rest if equals else None
    return found


def parse_env_file(content: str, inherit: Mapping[str, str], *, argument: str = "env_file") -> dict[str, str]:
    """Read the lines of an environment file, as `docker run --env-file` does.

    A line is `NAME=value`, kept as it stands, quotes too; `NAME` alone takes the value from `inherit`, if that has it;
    empty lines and lines that begin with `#` say nothing. Raises InvalidOption with the number of the line.
    """
    found: dict[str, str] = {}
    for count, raw in enumerate(text(content, argument).removeprefix("\ufeff").split("\n"), 1):
        line = raw.removesuffix("\r").lstrip()
        if not line or line.startswith("#"):
            continue
        name, equals, rest = line.partition("=")
        if not name or any(character.isspace() for character in name):
            fail(argument, f"line {count}: {name!r} is not the name of a variable")
        if equals:
            found[name] = rest
        elif name in inherit:
            found[name] = inherit[name]
    return found


def merge(
    image: tuple[str, ...], given: Mapping[str, str | None], *, hostname: str, tty: bool, home: str
) -> tuple[str, ...]:
    """Give `NAME=value` entries: Docker's own, then the image's, then the caller's, the last of a name winning.

    Docker's own are PATH, HOSTNAME and, on a terminal, TERM; HOME is the user's where nobody else sets it.
    """
    variables: dict[str, str | None] = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if tty:
        variables["TERM"] = "xterm"
    for entry in image:
        name, _, value = entry.partition("=")
        variables[name] = value
    variables.update(given)
    if not variables.get("HOME"):
        variables["HOME"] = home
    return tuple([f"{name}={value}" for name, value in variables.items() if value is not None])


def _name(name: object, argument: str) -> str:
    found = text(name, argument)
    if not found or "=" in found:
        fail(argument, f"{found!r} is not the name of a variable: it must not be empty and holds no '='")
    return found


def _value(name: object, value: object, argument: str) -> str | None:
    if value is None or isinstance(value, str):
        return None if value is None else text(value, argument)
    if isinstance(value, bool) or not isinstance(value, int | float):
        fail(argument, f"the value of {name!r} must be a str, a number or None, not {value!r}")
    return str(value)
