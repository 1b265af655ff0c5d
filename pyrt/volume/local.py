"""Docker's driver `local`: a directory of the root, or what mount(8) would mount with type=, device= and o=.

`type=none` with `o=bind` is the directory `device=`, a path of the host, whose links are followed like those of a
bind. `type=tmpfs` is memory, new for each container. Other types are what the kernel itself can mount: those
that need a program of the host beside it (FUSE, a loop device) are refused.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from pyrt.errors import InvalidOption, Unsupported
from pyrt.oci.spec import Mount

__all__ = ["Local"]

_KNOWN = ("device", "o", "size", "type")
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3"})
_BINDS = frozenset({"bind", "rbind"})
_BIND_WORDS = ("ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "relatime", "nosymfollow")
_NOT_OURS = frozenset({"remount", "move", "shared", "rshared", "slave", "rslave", "private", "rprivate", "unbindable"})


class Local:
    """The driver `local` (see Driver)."""

    name = "local"

    def check(self, options: Mapping[str, str]) -> None:
        """Refuse options that it does not take (see Driver)."""
        if unknown := options.keys() - set(_KNOWN):
            raise _wrong(f"there is no option {min(unknown)!r} here, but {', '.join(_KNOWN)}")
        if "size" in options:
            raise Unsupported("driver_opts: size", "it needs quotas of the file system; use type=tmpfs with o=size=…")
        if not options:
            return
        missing = [each for each in ("type", "device") if not options.get(each)]
        if missing:
            raise _wrong(f"{missing[0]} is missing: what is mounted has type, device and perhaps o")
        words = _words(options)
        if strange := _NOT_OURS & set(words):
            raise _wrong(f"o={min(strange)} is not about what a volume holds")
        if "loop" in words:
            raise Unsupported("driver_opts: o=loop", "a program of the host makes loop devices; give device=/dev/loop…")
        kind = options["type"]
        if kind.partition(".")[0] in ("fuse", "fuseblk"):
            raise Unsupported(f"driver_opts: type={kind}", "it needs a program of the host; bind what that has mounted")
        if _is_bind(options):
            self._check_bind(options, words)
        elif kind == "none":
            raise _wrong("type=none mounts nothing, unless with o=bind")
        elif kind in _NETWORK and not _address(words):
            raise _wrong(f"o has no addr=…, the server's address, which {kind} needs")

    def is_own(self, options: Mapping[str, str]) -> bool:
        """Say whether the files are in the volume's directory (see Driver)."""
        return not options

    def mount(
        self, directory: str, options: Mapping[str, str], destination: str, *, in_user_namespace: bool = False
    ) -> Mount:
        """Give what a container mounts (see Driver)."""
        if not options:
            return Mount(destination, "bind", directory, ("rbind", "rprivate"))
        kind, device, words = options["type"], options["device"], _words(options)
        if _is_bind(options):
            if not os.path.isdir(device):
                raise _wrong(f"the device {device} is no directory of the host")
            return Mount(destination, "bind", device, (*words, "rprivate"))
        if in_user_namespace and kind != "tmpfs":
            reason = "the kernel mounts it in no user namespace; let the host mount it, and bind that"
            raise Unsupported(f"a volume of type={kind}", reason)
        if kind in _NETWORK:
            words = tuple(f"addr={_resolved(word)}" if word.startswith("addr=") else word for word in words)
        return Mount(destination, kind, device, words)

    def _check_bind(self, options: Mapping[str, str], words: tuple[str, ...]) -> None:
        if options["type"] not in ("none", "bind"):
            raise _wrong(f"o=bind goes with type=none, not {options['type']}")
        if not options["device"].startswith("/"):
            raise _wrong(f"the device {options['device']!r} is not an absolute path of the host")
        if strange := set(words) - _BINDS - set(_BIND_WORDS):
            raise _wrong(f"o={min(strange)} is not for a bind, which has {', '.join(_BIND_WORDS)}")


def _words(options: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(word for word in options.get("o", "").split(",") if word)


def _is_bind(options: Mapping[str, str]) -> bool:
    return options["type"] == "bind" or bool(_BINDS & set(_words(options)))


def _address(words: tuple[str, ...]) -> str:
    return next((word.partition("=")[2] for word in words if word.startswith("addr=")), "")


def _resolved(word: str) -> str:
    """Give the address of a server's name, which the kernel cannot look up."""
    server = word.partition("=")[2]
    try:
        return str(socket.getaddrinfo(server, None, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError) as error:
        raise _wrong(f"the server {server!r} has no address: {error}") from error


def _wrong(message: str) -> InvalidOption:
    return InvalidOption(message, argument="driver_opts")
