"""What Docker shows of an image: the documents of `inspect`, `history` and `images`, under its names."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pyrt.image.record import StoredImage
from pyrt.image.store import ImageStore
from pyrt.oci.image import ImageDocument

__all__ = ["created_seconds", "history", "inspect", "summary"]


def inspect(store: ImageStore, image: StoredImage) -> dict[str, Any]:
    """Give the object of `docker image inspect`: the Engine API's ImageInspect."""
    document = store.document(image)
    own, platform = document.document, document.platform
    layers = store.layers.chain(image.record.chain[-1]) if image.record.chain else ()
    directories = [layer.directory for layer in layers]
    return {
        "Id": str(image.id),
        "RepoTags": [each.familiar for each in image.tags],
        "RepoDigests": [each.familiar for each in image.digests],
        "Parent": "",
        "Comment": document.history[-1].comment if document.history else "",
        "Created": document.created,
        "Author": document.author,
        "Config": own.get("config") or {},
        "Architecture": platform.architecture,
        "Variant": platform.variant,
        "Os": platform.os,
        "Size": image.record.size_bytes,
        "GraphDriver": {
            "Name": "overlay2",
            "Data": {"LowerDir": ":".join(directories[1:]), "UpperDir": "".join(directories[:1])},
        },
        "RootFS": {"Type": "layers", "Layers": [str(each) for each in document.diff_ids]},
        "Metadata": {"LastTagTime": _timestamp(image.record.added_ns)},
        "Descriptor": image.record.manifest.to_json(),
    }


def history(store: ImageStore, image: StoredImage) -> list[dict[str, Any]]:
    """Give the rows of `docker history`, the newest first: the Engine API's HistoryResponseItem."""
    document = store.document(image)
    layers = list(reversed(store.layers.chain(image.record.chain[-1]))) if image.record.chain else []
    sizes = iter([layer.size_bytes for layer in layers])
    rows: list[dict[str, Any]] = [
        {
            "Id": "<missing>",
            "Created": seconds(entry.created),
            "CreatedBy": entry.created_by,
            "Tags": None,
            "Size": 0 if entry.is_empty_layer else next(sizes, 0),
            "Comment": entry.comment,
        }
        for entry in document.history
    ]
    if rows:
        rows[-1] |= {"Id": str(image.id), "Tags": [each.familiar for each in image.tags] or None}
    return rows[::-1]


def summary(store: ImageStore, image: StoredImage) -> dict[str, Any]:
    """Give the object of `GET /images/json`: the Engine API's ImageSummary."""
    document = store.document(image)
    return {
        "Id": str(image.id),
        "ParentId": "",
        "RepoTags": [each.familiar for each in image.tags],
        "RepoDigests": [each.familiar for each in image.digests],
        "Created": created_seconds(document),
        "Size": image.record.size_bytes,
        "SharedSize": -1,
        "Labels": dict(document.config.labels),
        "Containers": -1,
    }


def created_seconds(document: ImageDocument) -> int:
    """Give when an image was made, in seconds since 1970; 0 where it does not say."""
    return seconds(document.created)


def seconds(text: str) -> int:
    """Read an RFC 3339 time as seconds since 1970; 0 for what is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _timestamp(moment_ns: int) -> str:
    whole, rest = divmod(moment_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
