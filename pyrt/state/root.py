"""The directory of an engine: where it is, and that it can be used."""

from __future__ import annotations

import os

from pyrt.errors import InvalidOption

__all__ = ["default_root", "open_root"]


def default_root() -> str:
    """Give the directory of an engine that was told none: $PYRT_ROOT, then where the user's data is."""
    chosen = os.environ.get("PYRT_ROOT")
    if chosen:
        return os.path.abspath(chosen)
    if os.geteuid() == 0:
        return "/var/lib/pyrt"
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.join(data, "pyrt")


def open_root(root: str) -> str:
    """Make the directory of an engine. Others may pass through it, as the ids of a user namespace have to."""
    try:
        if not os.path.isdir(root):
            os.makedirs(root, exist_ok=True)
            os.chmod(root, 0o711)  # whatever the umask; one that is there stays as it is
        if not os.access(root, os.W_OK | os.X_OK):
            raise PermissionError(13, "not writable")
    except OSError as error:
        message = f"{root} cannot be used: {error.strerror}; choose another with Engine(root=…) or PYRT_ROOT"
        raise InvalidOption(message, argument="root") from error
    return root
