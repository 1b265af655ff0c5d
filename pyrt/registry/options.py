"""What a user may say about registries: in code, or in a small TOML file.

user_agent = "…"; retries = 5; connect_timeout_seconds = 10; read_timeout_seconds = 30
[registries."docker.io"]
mirrors = ["mirror.example:5000"]     # asked first by pulls, never by pushes
[registries."registry.example:5000"]
insecure = true                       # plain HTTP, or TLS that cannot be verified
ca_file = "/etc/ssl/registry.pem"     # besides the system's
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pyrt.errors import InvalidOption
from pyrt.registry.credentials import Credentials

__all__ = ["RegistryOptions"]

_MIB = 1 << 20
_FILES = ("~/.config/pyrt/registries.toml", "/etc/pyrt/registries.toml")
_CERTS = (
    "~/.config/containers/certs.d",
    "~/.config/docker/certs.d",
    "/etc/containers/certs.d",
    "/etc/docker/certs.d",
)


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """How registries are reached. Registries are named as in references, `HOST[:PORT]`."""

    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    insecure: frozenset[str] = frozenset()
    ca_file: str | None = None  # for all registries; besides the system's
    ca_files: Mapping[str, str] = field(default_factory=dict)  # for one
    certificate_directories: tuple[str, ...] = _CERTS
    credentials: Mapping[str, Credentials] = field(default_factory=dict)
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 30.0  # without a byte
    retries: int = 5
    longest_wait_seconds: float = 60.0  # what a registry may ask for by Retry-After
    parallel: int = 4  # connections for one large blob; 1: never more than one
    parallel_threshold_bytes: int = 64 * _MIB  # what counts as large
    parallel_below_bytes_per_second: float = 100e6  # a connection that is faster is left alone
    upload_chunk_bytes: int = 0  # 0: a blob goes up in one piece
    user_agent: str = "pyrt"

    def __post_init__(self) -> None:
        for name in ("connect_timeout_seconds", "read_timeout_seconds", "longest_wait_seconds", "parallel"):
            if getattr(self, name) <= 0:
                raise InvalidOption("must be more than 0", argument=name)
        for name in ("retries", "parallel_threshold_bytes", "upload_chunk_bytes"):
            if getattr(self, name) < 0:
                raise InvalidOption("must not be negative", argument=name)
        if not self.user_agent.isprintable() or not self.user_agent.isascii():
            raise InvalidOption("must be printable ASCII", argument="user_agent")

    @classmethod
    def read(cls, path: str | None = None, *, environ: Mapping[str, str] = os.environ) -> RegistryOptions:
        """Read `path`, else $PYRT_REGISTRIES, else the first of the usual files there is, else nothing.

        Raises InvalidOption, which names the file and the field.
        """
        named = path or environ.get("PYRT_REGISTRIES")
        home = environ.get("HOME", "")
        usual = [each.replace("~", home, 1) if home else each for each in _FILES if home or each[0] != "~"]
        for candidate in [named] if named else usual:
            try:
                with open(candidate, "rb") as file:
                    document = tomllib.load(file)
            except FileNotFoundError as error:
                if named:
                    raise InvalidOption(f"{candidate} does not exist", argument="registries") from error
                continue
            except (OSError, ValueError) as error:
                raise InvalidOption(f"{candidate} cannot be read: {error}", argument="registries") from error
            return cls(**_fields(document, candidate))
        return cls()


_NUMBERS = {
    "connect_timeout_seconds": float,
    "read_timeout_seconds": float,
    "longest_wait_seconds": float,
    "retries": int,
    "parallel": int,
    "parallel_threshold_bytes": int,
    "parallel_below_bytes_per_second": float,
    "upload_chunk_bytes": int,
}
_TEXTS = ("user_agent", "ca_file")


def _fields(document: Mapping[str, Any], path: str) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, value in document.items():
        if name == "registries":
            given |= _registries(value, path)
        elif name in _NUMBERS:
            given[name] = _typed(value, (_NUMBERS[name], int), name, path)
        elif name in _TEXTS:
            given[name] = _typed(value, (str,), name, path)
        else:
            known = ", ".join(sorted([*_NUMBERS, *_TEXTS, "registries"]))
            raise InvalidOption(f"{path}: there is no {name!r}; there are {known}", argument="registries")
    assert given.keys() <= {each.name for each in fields(RegistryOptions)}
    return given


def _registries(tables: Any, path: str) -> dict[str, Any]:
    mirrors, insecure, ca_files = {}, set(), {}
    for registry, table in _typed(tables, (dict,), "registries", path).items():
        where = f"registries.{registry}"
        for name, value in _typed(table, (dict,), where, path).items():
            field_name = f"{where}.{name}"
            if name == "mirrors":
                listed = _typed(value, (list,), field_name, path)
                mirrors[registry] = tuple(_typed(each, (str,), field_name, path) for each in listed)
            elif name == "insecure":
                insecure |= {registry} if _typed(value, (bool,), field_name, path) else set()
            elif name == "ca_file":
                ca_files[registry] = _typed(value, (str,), field_name, path)
            else:
                raise InvalidOption(
                    f"{path}: there is no {field_name}; there are ca_file, insecure and mirrors", argument="registries"
                )
    return {"mirrors": mirrors, "insecure": frozenset(insecure), "ca_files": ca_files}


def _typed(value: Any, kinds: tuple[type, ...], name: str, path: str) -> Any:
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise InvalidOption(f"{path}: {name} is not of type {kinds[0].__name__}", argument="registries")
    return value
