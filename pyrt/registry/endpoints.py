"""Where a registry is reached: which URLs stand for its name, which addresses are private, which certificates hold.

Takes the name of a registry and RegistryOptions, gives Endpoints in the order to ask them. HTTPS always comes first;
plain HTTP is tried after it, and only where the user has named the registry insecure, or on this very machine unless
the user has a CA for it.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from pyrt.errors import InvalidOption
from pyrt.registry.options import RegistryOptions

__all__ = ["Endpoint", "certificates", "endpoints", "is_private", "origin"]

_API_HOSTS = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}
_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Origin = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One registry: its name, and the base URLs that stand for it, without a slash at the end."""

    registry: str
    urls: tuple[str, ...]
    is_insecure: bool = False
    is_mirror: bool = False

    @property
    def host(self) -> str:
        """What messages call it."""
        return urlsplit(self.urls[0]).netloc


def endpoints(registry: str, options: RegistryOptions, *, mirrors: bool) -> tuple[Endpoint, ...]:
    """Give the endpoints of a registry: its mirrors first, where they are wanted. Raises InvalidOption."""
    named = options.mirrors.get(registry, ()) if mirrors else ()
    return (*(_endpoint(each, options, is_mirror=True) for each in named), _endpoint(registry, options))


def _endpoint(name: str, options: RegistryOptions, *, is_mirror: bool = False) -> Endpoint:
    scheme, separator, rest = name.partition("://")
    host = (rest if separator else name).rstrip("/")
    if not host or "@" in host or any(c in host for c in "?# ") or (separator and scheme not in _PORTS):
        raise InvalidOption(f"{host or name!r} is no registry: write HOST[:PORT] or an http(s) URL", argument="mirrors")
    is_insecure = host in options.insecure or (_is_this_machine(f"//{host}") and not _authorities(host, options))
    base = _API_HOSTS.get(host, host)
    schemes = [scheme] if separator else ["https", "http"] if is_insecure else ["https"]
    return Endpoint(host, tuple(f"{each}://{base}" for each in schemes), is_insecure, is_mirror)


def _is_this_machine(url: str) -> bool:
    host = (urlsplit(url).hostname or "").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin(url: str | SplitResult) -> Origin:
    """Give scheme, host and port of a URL. Raises ValueError where it is no http(s) URL."""
    parts = urlsplit(url) if isinstance(url, str) else url
    if parts.scheme not in _PORTS or not parts.hostname or "\\" in parts.netloc:  # which ends a host for urllib3
        raise ValueError("no http(s) URL")
    return parts.scheme, parts.hostname.lower(), parts.port or _PORTS[parts.scheme]


def is_private(address: str) -> bool:
    """Say whether an IP address is not of the public internet, in whichever form it is wrapped."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour
        if parsed in _NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is not None:
            return is_private(str(inner))
    return not parsed.is_global or parsed.is_multicast


def certificates(endpoint_host: str, options: RegistryOptions, *, is_insecure: bool) -> ssl.SSLContext:
    """Give the TLS settings for a host: the system's CAs, those of the options and of certs.d, client certificates.

    An insecure registry is believed without a certificate. Raises InvalidOption for a file that does not load.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    files = [options.ca_file, *_authorities(endpoint_host, options)]
    if is_insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_default_certs()
    for certificate in _listed(endpoint_host, ".cert", options):
        _load_pair(context, certificate)
    for path in filter(None, files):
        try:
            context.load_verify_locations(path)
        except (OSError, ssl.SSLError) as error:
            raise InvalidOption(f"the CA {path} does not load: {error}", argument="ca_file") from error
    return context


def _authorities(host: str, options: RegistryOptions) -> list[str]:
    """Give the CAs that the user has chosen for one host."""
    return [*filter(None, [options.ca_files.get(host)]), *_listed(host, ".crt", options)]


def _listed(host: str, suffix: str, options: RegistryOptions) -> list[str]:
    """Give the files of a kind in the directories that are named after a host (certs.d)."""
    tops = [os.path.join(os.path.expanduser(directory), host) for directory in options.certificate_directories]
    return [
        os.path.join(top, name)
        for top in tops
        if os.path.isdir(top)
        for name in sorted(os.listdir(top))
        if name.endswith(suffix)
    ]


def _load_pair(context: ssl.SSLContext, certificate: str) -> None:
    key = certificate.removesuffix(".cert") + ".key"
    if not os.path.exists(key):
        raise InvalidOption(f"{certificate} has no {os.path.basename(key)} beside it", argument="certificates")
    try:
        context.load_cert_chain(certificate, key, password="")  # an empty password: never ask on the terminal
    except (OSError, ssl.SSLError) as error:
        raise InvalidOption(
            f"the client certificate {certificate} does not load: {error}", argument="certificates"
        ) from error
