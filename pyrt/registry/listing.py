"""Lists that registries give: tags, repositories and referrers, page by page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pyrt.errors import ImageNotFound, InvalidArgument, NotFound
from pyrt.oci import mediatype
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.digest import Digest
from pyrt.oci.manifest import Index, make_index, parse
from pyrt.registry.endpoints import Endpoint, origin
from pyrt.registry.errors import broken, shown_url
from pyrt.registry.exchange import Answer, Exchange, Request, resolve
from pyrt.registry.headers import next_link
from pyrt.registry.retry import Cancelled

if TYPE_CHECKING:
    from pyrt.registry.repository import Repository

__all__ = ["names", "refer", "referrers"]

_MAX_PAGE_BYTES = 8 << 20
_MAX_PAGES = 10_000


def pages(
    exchange: Exchange, endpoints: Sequence[Endpoint], request: Request, cancelled: Cancelled | None
) -> Iterator[tuple[Answer, dict[str, Any]]]:
    """Give the JSON objects of a list, following its Link headers on the registry's own host."""
    seen = set()
    for _ in range(_MAX_PAGES):
        seen.add(request.path)
        answer, raw = exchange.read(request, endpoints, _MAX_PAGE_BYTES, exchange.patience(cancelled))
        try:
            document = json.loads(raw)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise broken(request.deed, answer.host, "answers with something that is no JSON object")
        yield answer, document
        target = next_link(answer.headers.getlist("Link"))
        if target is None:
            return
        request = replace(request, path=_next(target, answer, request.deed))
        if request.path in seen:
            raise broken(request.deed, answer.host, "gives the same page again as the next one")
    raise broken(request.deed, endpoints[-1].host, f"gives more than {_MAX_PAGES} pages")


def _next(target: str, answer: Answer, deed: str) -> str:
    """Give the path of the next page."""
    url = resolve(target, answer.url, answer.endpoint, deed)
    if origin(url)[1:] != origin(answer.url)[1:]:
        raise broken(deed, answer.host, f"continues its list on another host, {shown_url(url)}: refused")
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def names(
    exchange: Exchange, endpoints: Sequence[Endpoint], request: Request, field: str, cancelled: Cancelled | None
) -> Iterator[str]:
    """Give the strings of a paged list."""
    for answer, document in pages(exchange, endpoints, request, cancelled):
        listed = document.get(field)
        if listed is None:
            listed = []  # what registries say of a repository without tags
        if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
            raise broken(request.deed, answer.host, f"answers with {field} that are no list of names")
        yield from listed


def referrers(
    exchange: Exchange,
    endpoints: Sequence[Endpoint],
    request: Request,
    repository: Repository,
    digest: Digest,
    artifact_type: str,
    cancelled: Cancelled | None,
) -> Iterator[Descriptor]:
    """Give what refers to a manifest, by the referrers API or, where there is none, by the tag that stands for it."""
    if artifact_type:
        from urllib.parse import urlencode

        request = replace(request, path=f"{request.path}?{urlencode({'artifactType': artifact_type})}")
    try:
        for answer, document in pages(exchange, endpoints, request, cancelled):
            try:
                index = parse(json.dumps(document).encode(), mediatype.OCI_INDEX)
            except InvalidArgument as error:
                raise broken(request.deed, answer.host, f"answers with no index: {error}") from error
            yield from index.manifests if isinstance(index, Index) else ()
    except NotFound:
        yield from _fallback(repository, digest)


def _fallback(repository: Repository, digest: Digest) -> tuple[Descriptor, ...]:
    try:
        index = repository.manifest(_tag(digest))
    except ImageNotFound:
        return ()
    return index.manifests if isinstance(index, Index) else ()


def _tag(digest: Digest) -> str:
    """Give the tag under which what refers to a manifest is listed (distribution-spec, "Referrers Tag Schema")."""
    return f"{digest.algorithm}-{digest.hex}"[:128]


def refer(repository: Repository, raw: bytes, media_type: str) -> None:
    """List a manifest under the tag of its subject, for a registry that does not do so itself."""
    manifest = parse(raw, media_type)
    if manifest.subject is None:
        return
    own = manifest.descriptor
    own = replace(own, artifact_type=_artifact_type(manifest), annotations=manifest.annotations)
    others = [each for each in _fallback(repository, manifest.subject.digest) if each.digest != own.digest]
    index = make_index([*others, own])
    repository.put_manifest(index.raw, index.media_type, _tag(manifest.subject.digest))


def _artifact_type(manifest: Any) -> str:
    if isinstance(manifest, Index):
        return str(manifest.document.get("artifactType") or "")
    return str(manifest.artifact_type or manifest.config.media_type)
