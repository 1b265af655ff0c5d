"""Where the wire's codes become exceptions, and nowhere else (distribution-spec, "Error Codes").

Takes the status, headers and body of a refusal; gives an exception that names the deed, the host and the registry's own
words. What a registry says is foreign text: it is cut short, printed without control characters, and cleansed of what
was sent to it in confidence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from pyrt.errors import (
    BlobNotFound,
    Forbidden,
    ImageNotFound,
    NotFound,
    PyrtError,
    RegistryError,
    Unauthorized,
    Unavailable,
)

__all__ = ["PASSING", "broken", "is_passing", "refusal", "shown_url"]

_KINDS: dict[str, type[PyrtError]] = {
    "UNAUTHORIZED": Unauthorized,
    "DENIED": Forbidden,
    "MANIFEST_UNKNOWN": ImageNotFound,
    "MANIFEST_BLOB_UNKNOWN": BlobNotFound,
    "NAME_UNKNOWN": ImageNotFound,
    "BLOB_UNKNOWN": BlobNotFound,
}
_CODES = {401: "UNAUTHORIZED", 403: "DENIED", 429: "TOOMANYREQUESTS"}
_MENDS = {
    Unauthorized: "; log in to the registry, or check the name: many registries answer so for what does not exist",
    Forbidden: "; the account has no right to this, or the repository does not exist",
    ImageNotFound: "; it has no image of this name",
}
_MAX_TEXT = 300
_BROKEN = ("PROTOCOL", "REDIRECT")
PASSING = frozenset({408, 429, 500, 502, 503, 504})  # what may be otherwise a moment later


def refusal(
    deed: str, host: str, status: int, body: bytes, *, missing: type[NotFound] = NotFound, secrets: Iterable[str] = ()
) -> PyrtError:
    """Give the exception for an answer that is none; `missing` is what a bare 404 means."""
    code, text, detail = _diagnosis(body)
    code = code or _CODES.get(status, "")
    said = shown(f"{code}: {text}" if code and text else code or text, secrets)
    kind = _kind(code, status, missing)
    mend = "; set upload_chunk_bytes to push in pieces" if status == 413 else _MENDS.get(kind, "")
    message = f"{deed}: {host} answers {status}{f' ({said})' if said else ''}{mend}"
    if kind is RegistryError:
        return RegistryError(message, code=code or "UNKNOWN", status=status, detail=detail)
    return kind(message)


def broken(deed: str, host: str, why: str, *, status: int = 502, code: str = "PROTOCOL") -> RegistryError:
    """Give the exception for a registry that does not keep to the protocol."""
    return RegistryError(f"{deed}: {host} {shown(why)}", code=code, status=status)


def is_passing(error: PyrtError) -> bool:
    """Say whether the same may go well a moment later."""
    if isinstance(error, RegistryError):
        return error.status in PASSING and error.code not in _BROKEN
    return isinstance(error, Unavailable)


def shown(text: str, secrets: Iterable[str] = ()) -> str:
    """Give foreign text in a form that may stand in a message."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "…")
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return plain if len(plain) <= _MAX_TEXT else plain[:_MAX_TEXT] + "…"


def shown_url(url: str) -> str:
    """Give a URL without what may be secret in it: user, query and fragment."""
    try:
        parts = urlsplit(url)
        return shown(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")
    except ValueError:
        return "a URL that does not parse"


def _kind(code: str, status: int, missing: type[NotFound]) -> type[PyrtError]:
    if code in ("MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND") and status == 404 and missing is BlobNotFound:
        return BlobNotFound
    if code in _KINDS and 400 <= status < 500:
        return _KINDS[code]
    bare: dict[int, type[PyrtError]] = {401: Unauthorized, 403: Forbidden, 404: missing}
    return bare.get(status, RegistryError)


def _diagnosis(body: bytes) -> tuple[str, str, Any]:
    """Read code, message and detail of the first error of a body of any form."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return "", "", None
    errors = document.get("errors") if isinstance(document, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else document
    if not isinstance(first, dict):
        return "", "", None
    code, text = first.get("code"), first.get("message") or first.get("details") or first.get("error")
    return code if isinstance(code, str) else "", text if isinstance(text, str) else "", first.get("detail")
