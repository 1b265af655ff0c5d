"""The files of /etc that say who and where a container is, with Docker's contents."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from pyrt.container.checks import fail, sequence, strings, text
from pyrt.container.options import RunOptions
from pyrt.errors import Unsupported
from pyrt.runtime.bundle import File

__all__ = ["Names", "etc_files", "read_names"]

_LOCAL = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)
_MTAB = File("/etc/mtab", "symlink", b"/proc/mounts", 0o777)
_LONGEST = 64  # __NEW_UTS_LEN
_LONGEST_LABEL = 63  # RFC 1123
_LABEL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")


@dataclass(frozen=True, slots=True)
class Names:
    """What a container is called; `own_network` says whether it has a network, and so addresses, of its own."""

    hostname: str
    domainname: str | None
    own_network: bool


def read_names(options: RunOptions, container_id: str, *, own_uts: bool, own_network: bool) -> Names:
    """Decide the names: the caller's, on the host's network the host's, else the first digits of the id.

    Raises InvalidOption for a name that is none (RFC 1123, at most 64 characters) or that the host's would have to be.
    """
    hostname, domainname = options.get("hostname"), options.get("domainname")
    for argument, name in (("hostname", hostname), ("domainname", domainname)):
        if name is None or name == "":
            continue
        if not own_uts:
            fail(argument, "uts_mode is 'host', so the names are the host's")
        _check_name(text(name, argument), argument)
    default = container_id[:12] if own_uts and own_network else os.uname().nodename
    return Names(hostname or default, domainname or None, own_network)


def etc_files(options: RunOptions, names: Names, mounted: frozenset[str]) -> tuple[File, ...]:
    """Give /etc/hosts, /etc/hostname, /etc/resolv.conf and /etc/mtab, but for those that the caller mounts.

    Raises InvalidOption.
    """
    found = [
        File("/etc/hosts", content=_hosts(options, names).encode("utf-8", "surrogateescape")),
        File("/etc/hostname", content=f"{names.hostname}\n".encode()),
        File("/etc/resolv.conf", content=_resolv_conf(options, names.own_network).encode("utf-8", "surrogateescape")),
        _MTAB,
    ]
    return tuple([file for file in found if file.path not in mounted]) if mounted else tuple(found)


def _hosts(options: RunOptions, names: Names) -> str:
    extra = options.get("extra_hosts")
    if not names.own_network and extra is None and (content := _read("/etc/hosts")):
        return content
    lines = [f"{address}\t{name}\n" for name, address in _extra_hosts(extra)]
    full = f"{names.hostname}.{names.domainname}" if names.domainname else names.hostname
    short = full.partition(".")[0]
    own = f"127.0.1.1\t{full} {short}\n" if short != full else f"127.0.1.1\t{full}\n"
    return "".join([_LOCAL, *lines, own])


def _extra_hosts(value: object, argument: str = "extra_hosts") -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        pairs = [(name, address) for name, address in value.items()]
    else:
        entries = strings(value, argument)
        pairs = [entry.partition("=" if "=" in entry else ":")[::2] for entry in entries]
    return [_host(text(name, argument), text(address, argument), argument) for name, address in pairs]


def _host(name: str, address: str, argument: str) -> tuple[str, str]:
    if not name or any(character.isspace() or character == "#" for character in name):
        fail(argument, f"{name!r} is not the name of a host")
    if address == "host-gateway":
        raise Unsupported("extra_hosts host-gateway", "there are no networks yet, and so no gateway")
    return name, _address(address.removeprefix("[").removesuffix("]"), argument)


def _resolv_conf(options: RunOptions, own_network: bool) -> str:
    """Give the host's file, with what the caller says in place of the host's lines (resolv.conf(5)).

    The host's name servers on loopback addresses are left out where the network is not the host's.
    """
    servers = [_address(server, "dns") for server in strings(options.get("dns"), "dns")]
    search = [_word(domain, "dns_search") for domain in sequence(options.get("dns_search"), "dns_search")]
    words = [_word(word, "dns_opt") for word in sequence(options.get("dns_opt"), "dns_opt")]
    lines = []
    for line in (_read("/etc/resolv.conf") or "").split("\n"):
        key, _, value = line.replace("\t", " ").partition(" ")
        if not key or key[0] in "#;":
            continue
        if key == "nameserver" and (servers or (own_network and _is_loopback(value.strip()))):
            continue
        if (key in ("search", "domain") and search) or (key == "options" and words):
            continue
        lines.append(line)
    lines += [f"nameserver {server}" for server in servers]
    if search and search != ["."]:
        lines.append("search " + " ".join(search))
    if words:
        lines.append("options " + " ".join(words))
    return "".join([f"{line}\n" for line in lines])


def _address(value: str, argument: str) -> str:
    import ipaddress  # takes milliseconds to load, and is seldom needed

    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        fail(argument, f"{value!r} is not an address")


def _is_loopback(server: str) -> bool:
    return server.startswith("127.") or server.partition("%")[0] == "::1"


def _word(value: object, argument: str) -> str:
    word = text(value, argument)
    if not word or not word.isprintable() or " " in word:
        fail(argument, f"{word!r} is not one word")
    return word


def _check_name(name: str, argument: str) -> None:
    labels = name.split(".")
    if len(name) > _LONGEST:
        fail(argument, f"{name!r} is longer than {_LONGEST} characters")
    for label in labels:
        if not 1 <= len(label) <= _LONGEST_LABEL or set(label) - _LABEL or label[0] == "-" or label[-1] == "-":
            fail(argument, f"{name!r} is not a name: up to 63 letters, digits and inner hyphens between dots")


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:  # a container can do without the host's names
        return None
