"""Changes to an image's configuration, in a Dockerfile's words: what `commit --change` and `import --change` take.

Takes lines such as `ENV A=b` or `CMD ["sh"]`, gives the changed ImageConfig and the fields that pyrt has no word for.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pyrt.errors import InvalidOption
from pyrt.oci.config import ImageConfig

__all__ = ["Changed", "change"]

SHELL = ("/bin/sh", "-c")
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Changed:
    """A configuration, and further fields of the document's `config`."""

    config: ImageConfig
    more: dict[str, Any] = field(default_factory=dict)
    has_cmd: bool = False  # one of the instructions has said it


def change(config: ImageConfig, lines: Iterable[str]) -> Changed:
    """Apply instructions in their order. Raises InvalidOption for one that is not known, or says too little."""
    changed = Changed(config)
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        instruction = _INSTRUCTIONS.get(word.upper())
        if instruction is None:
            known = ", ".join(sorted(_INSTRUCTIONS))
            raise InvalidOption(f"{line!r}: {word.upper() or 'nothing'} is none of {known}", argument="changes")
        if not rest:
            raise InvalidOption(f"{line!r}: {word.upper()} asks for a value", argument="changes")
        try:
            changed = instruction(changed, rest)
        except ValueError as error:
            raise InvalidOption(f"{line!r}: {error}", argument="changes") from error
    return changed


def _listed(text: str) -> tuple[str, ...] | None:
    """Read the JSON form; None for what is another."""
    try:
        words = json.loads(text) if text.startswith("[") else None
    except (ValueError, RecursionError):
        return None
    return tuple(words) if isinstance(words, list) and all(isinstance(word, str) for word in words) else None


def _command(text: str) -> tuple[str, ...]:
    """Read the JSON form, or else what the shell is to run."""
    words = _listed(text)
    return (*SHELL, text) if words is None else words


def _words(text: str) -> Sequence[str]:
    words = _listed(text)
    return shlex.split(text) if words is None else words


def _pairs(text: str) -> dict[str, str]:
    """Read `A=b C="d e"`, or the old `A the rest`."""
    words = shlex.split(text)
    if "=" not in words[0]:
        name, _, value = text.partition(" ")
        if not value.strip():
            raise ValueError("write NAME=value")
        return {name: value.strip()}
    pairs = [word.partition("=") for word in words]
    if not all(name and equals for name, equals, _ in pairs):
        raise ValueError("write NAME=value")
    return {name: value for name, _, value in pairs}


def _set(**fields: Callable[[str], Any]) -> Callable[[Changed, str], Changed]:
    def apply(changed: Changed, text: str) -> Changed:
        values = {name: read(text) for name, read in fields.items()}
        return replace(changed, config=replace(changed.config, **values))

    return apply


def _env(changed: Changed, text: str) -> Changed:
    pairs = dict(entry.partition("=")[::2] for entry in changed.config.env) | _pairs(text)
    return replace(changed, config=replace(changed.config, env=tuple(f"{n}={v}" for n, v in pairs.items())))


def _label(changed: Changed, text: str) -> Changed:
    return replace(changed, config=replace(changed.config, labels=dict(changed.config.labels) | _pairs(text)))


def _union(before: Sequence[str], more: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*before, *more]))


def _expose(changed: Changed, text: str) -> Changed:
    ports = [port for word in _words(text) for port in _ports(word)]
    return replace(changed, config=replace(changed.config, exposed_ports=_union(changed.config.exposed_ports, ports)))


def _ports(text: str) -> list[str]:
    match = _PORTS.fullmatch(text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if match is None or not 0 < first <= last < 1 << 16:
        raise ValueError(f"{text!r} is no port: write 80, 80/udp or 8000-8010")
    return [f"{port}/{(match[3] or 'tcp').lower()}" for port in range(first, last + 1)]


def _volume(changed: Changed, text: str) -> Changed:
    return replace(changed, config=replace(changed.config, volumes=_union(changed.config.volumes, _words(text))))


def _cmd(changed: Changed, text: str) -> Changed:
    return replace(changed, config=replace(changed.config, cmd=_command(text)), has_cmd=True)


def _entrypoint(changed: Changed, text: str) -> Changed:
    """Set the entrypoint; the command that was made for the old one goes."""
    cmd = changed.config.cmd if changed.has_cmd else ()
    return replace(changed, config=replace(changed.config, entrypoint=_command(text), cmd=cmd))


def _workdir(changed: Changed, text: str) -> Changed:
    """Set the directory, which may be said relative to the one before."""
    path = posixpath.normpath(posixpath.join("/", changed.config.working_dir, text))
    return replace(changed, config=replace(changed.config, working_dir=path))


def _onbuild(changed: Changed, text: str) -> Changed:
    return replace(changed, more={**changed.more, "OnBuild": [*changed.more.get("OnBuild", ()), text]})


def _healthcheck(changed: Changed, text: str) -> Changed:
    if text.upper() == "NONE":
        test = ["NONE"]
    else:
        word, _, command = text.partition(" ")
        if word.upper() != "CMD" or not command:
            raise ValueError("write HEALTHCHECK CMD command, or HEALTHCHECK NONE")
        command = command.strip()
        test = ["CMD", *_command(command)] if command.startswith("[") else ["CMD-SHELL", command]
    return replace(changed, more={**changed.more, "Healthcheck": {"Test": test}})


_INSTRUCTIONS: dict[str, Callable[[Changed, str], Changed]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "STOPSIGNAL": _set(stop_signal=str),
    "USER": _set(user=str),
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
