"""Who we are to a registry: explicit credentials, those of Docker's config.json, and of its credential helpers.

Takes the name of a registry and a repository, gives Credentials or None. Nothing is read before a registry asks, and no
secret stands in a repr or an error.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyrt.errors import InvalidArgument, Unavailable

__all__ = ["Credentials", "find"]

DOCKER_HUB_KEY = "https://index.docker.io/v1/"
_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_TOKEN_USER = "<token>"
_NOT_FOUND = "credentials not found"
_MAX_CONFIG_BYTES = 4 << 20
_HELPER_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user with a password, or an identity token, which an OAuth2 server exchanges for access tokens."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of a basic Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def find(
    registry: str,
    repository: str = "",
    *,
    explicit: Mapping[str, Credentials] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Credentials | None:
    """Give the credentials for a repository: explicit ones first, then those of the configuration files.

    Raises InvalidArgument for a configuration that does not parse, Unavailable for a helper that fails.
    """
    keys = list(_keys(registry, repository))
    for key in keys:
        if explicit and key in explicit:
            return explicit[key]
    for path in _paths(environ):
        document = _read(path)
        if document is not None and (found := _of_config(document, keys, path)):
            return found
    return None


def _keys(registry: str, repository: str) -> Iterator[str]:
    """Give the names under which a registry may be filed, the most special one first (containers-auth.json(5))."""
    hosts = _HUB if registry in _HUB else (registry,)
    parts = repository.split("/") if repository else []
    for count in range(len(parts), 0, -1):
        yield f"{hosts[0]}/{'/'.join(parts[:count])}"
    if registry in _HUB:
        yield DOCKER_HUB_KEY
    yield from hosts


def _paths(environ: Mapping[str, str]) -> Iterator[str]:
    if explicit := environ.get("REGISTRY_AUTH_FILE"):
        yield explicit
    if directory := environ.get("DOCKER_CONFIG"):
        yield os.path.join(directory, "config.json")
    elif home := environ.get("HOME"):
        yield os.path.join(home, ".docker", "config.json")


def _read(path: str) -> dict[str, Any] | None:
    try:
        with open(path, "rb") as file:
            raw = file.read(_MAX_CONFIG_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be read: {error.strerror}", argument="credentials") from error
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        document = None  # the parser's own error holds the text, and the text holds passwords
    if not isinstance(document, dict) or len(raw) > _MAX_CONFIG_BYTES:
        raise InvalidArgument(f"{path} is no JSON object", argument="credentials")
    return document


def _of_config(document: Mapping[str, Any], keys: list[str], path: str) -> Credentials | None:
    helpers, auths = _map(document, "credHelpers", path), _map(document, "auths", path)
    for key in keys:
        if helper := helpers.get(key):
            return _ask_helper(helper, key, path)
    store = document.get("credsStore")
    if store:
        server = next((key for key in keys if key == DOCKER_HUB_KEY), keys[-1])
        if found := _ask_helper(store, server, path):
            return found
    filed = {_host_of(key): value for key, value in auths.items() if "://" in key} | dict(auths)
    for key in keys:
        if isinstance(entry := filed.get(key), dict) and (found := _of_entry(entry, key, path)):
            return found
    return None


def _map(document: Mapping[str, Any], name: str, path: str) -> Mapping[str, Any]:
    value = document.get(name) or {}
    if not isinstance(value, dict):
        raise InvalidArgument(f"{path}: {name} is no object", argument="credentials")
    return value


def _host_of(key: str) -> str:
    """Give the registry of a key in its old form, `https://HOST/v1/`."""
    return key.partition("://")[2].partition("/")[0]


def _of_entry(entry: Mapping[str, Any], key: str, path: str) -> Credentials | None:
    wrong = InvalidArgument(f"{path}: the entry of {key} is not base64 of user:password", argument="credentials")
    username, password = entry.get("username", ""), entry.get("password", "")
    token, auth = entry.get("identitytoken", ""), entry.get("auth", "")
    if not all(isinstance(value, str) for value in (username, password, token, auth)):
        raise wrong
    if auth:
        try:
            text = base64.b64decode(auth.encode(), validate=True).decode()
        except (binascii.Error, ValueError):
            raise wrong from None
        username, colon, password = text.rstrip("\0").partition(":")
        if not colon:
            raise wrong
    return Credentials(username, password, token) if token or username else None


def _ask_helper(name: object, server: str, path: str) -> Credentials | None:
    """Run `docker-credential-NAME get`; None where it knows nothing of this server."""
    if not isinstance(name, str) or not _HELPER.fullmatch(name):
        raise InvalidArgument(f"{path} names a credential helper that is no plain name", argument="credentials")
    program = f"docker-credential-{name}"
    try:
        done = subprocess.run([program, "get"], input=server.encode(), capture_output=True, timeout=_HELPER_SECONDS)
    except FileNotFoundError:
        raise Unavailable(f"{program}, which {path} names for {server}, is not on PATH: install it") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{program} has not answered within {_HELPER_SECONDS} seconds for {server}") from None
    except OSError as error:
        raise Unavailable(f"{program} cannot be executed: {error.strerror}") from error
    if done.returncode:
        if _NOT_FOUND in (done.stdout + done.stderr).decode(errors="replace"):
            return None
        raise Unavailable(f"{program} get fails with status {done.returncode} for {server}")
    try:
        answer = json.loads(done.stdout)
        username, secret = answer["Username"], answer["Secret"]
    except (ValueError, KeyError, TypeError, RecursionError):
        username = secret = None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise Unavailable(f"{program} get does not answer with Username and Secret for {server}")
    if username == _TOKEN_USER:
        return Credentials(identity_token=secret)
    return Credentials(username, secret)
