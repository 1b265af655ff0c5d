"""One repository of one registry, and what can be done with it.

Takes tags, Digests and Descriptors; gives Descriptors, Manifests, Indexes and streams. A manifest and a blob that come
out of here are what their digest says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

from pyrt.errors import BlobNotFound, DigestMismatch, ImageNotFound, InvalidDigest, NotFound, RegistryError, Unsupported
from pyrt.oci import mediatype
from pyrt.oci.descriptor import Descriptor
from pyrt.oci.digest import Digest
from pyrt.oci.manifest import MAX_MANIFEST_BYTES, Index, Manifest, parse
from pyrt.oci.reference import Reference
from pyrt.registry import listing
from pyrt.registry.blobs import open_blob
from pyrt.registry.endpoints import endpoints
from pyrt.registry.exchange import Answer, Exchange, Request
from pyrt.registry.retry import Cancelled
from pyrt.registry.uploads import Upload, Uploaded, check_digest

__all__ = ["ALL_MANIFESTS", "Repository"]

ALL_MANIFESTS = (
    mediatype.OCI_INDEX,
    mediatype.OCI_MANIFEST,
    mediatype.DOCKER_INDEX,
    mediatype.DOCKER_MANIFEST,
)
_MAX_ANSWER_BYTES = 64 << 10
_SCHEMA_1 = mediatype.DOCKER_MANIFEST_V1.removesuffix("+json")


class Repository:
    """The verbs of one repository; made by RegistryClient.repository. Thread-safe, holds nothing that must be closed.

    A manifest is named by a tag or a Digest. All verbs raise Unauthorized, Forbidden, RegistryError and Unavailable,
    the last also when `cancelled` says so, and InvalidReference for what is no tag.
    """

    def __init__(self, exchange: Exchange, reference: Reference, cancelled: Cancelled | None = None) -> None:
        self._reference = reference
        self.registry = reference.registry
        self.name = reference.repository
        self._exchange = exchange
        self._cancelled = cancelled
        self._pull = endpoints(self.registry, exchange.options, mirrors=True)
        self._push = self._pull[-1:]

    def head(self, which: str | Digest) -> Descriptor:
        """Give the descriptor of a manifest, in one round trip where the registry tells its digest.

        Raises ImageNotFound.
        """
        deed = f"resolve {self._shown(which)}"
        request = self._manifest_request(deed, "HEAD", which, ALL_MANIFESTS, accepted=(200, 400, 405, 501))
        answer, _ = self._exchange.read(request, self._pull, 0, self._exchange.patience(self._cancelled))
        digest, size = self._digest_of(answer), answer.length_bytes
        if answer.status != 200 or digest is None or size is None or size > MAX_MANIFEST_BYTES:
            return self.manifest(which).descriptor
        if isinstance(which, Digest) and which != digest:
            if which.algorithm == digest.algorithm:
                raise DigestMismatch(f"{deed}: {answer.host} has {digest} under this name")
            digest = which
        return Descriptor(_media_type(answer), digest, size)

    def manifest(self, which: str | Digest, accept: Iterable[str] = ALL_MANIFESTS) -> Manifest | Index:
        """Fetch a manifest or an index, verified against its digest, or for a tag against what the registry says.

        Raises ImageNotFound, DigestMismatch, InvalidSpec, and Unsupported for Docker's schema 1.
        """
        deed = f"fetch {self._shown(which)}"
        request = self._manifest_request(deed, "GET", which, accept)
        patience = self._exchange.patience(self._cancelled)
        answer, raw = self._exchange.read(request, self._pull, MAX_MANIFEST_BYTES, patience)
        expected = which if isinstance(which, Digest) else self._digest_of(answer)
        if expected is not None:
            hasher = expected.hasher()
            hasher.update(raw)
            if hasher.hexdigest() != expected.hex:
                raise DigestMismatch(f"{deed}: what {answer.host} sends is not {expected}")
        media_type = _media_type(answer)
        if media_type.startswith(_SCHEMA_1):
            raise Unsupported(deed, "the image is of Docker's schema 1, which has no digests: push it anew")
        known = media_type if mediatype.is_manifest(media_type) or mediatype.is_index(media_type) else None
        return parse(raw, known)

    def blob(
        self, descriptor: Descriptor, *, verify: bool = True, parallel: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Open a blob: a context manager that gives an iterator of chunks of about 1 MiB.

        The iterator resumes where a connection breaks. It raises SizeMismatch, and DigestMismatch unless `verify` is
        off (for a reader that does so itself), before it ends. `parallel` is the most connections for a large blob on
        slow ones (default: of the options). Raises BlobNotFound.
        """
        return open_blob(
            self._exchange, self._pull, self.name, descriptor, self._cancelled, verify=verify, connections=parallel
        )

    def has_blob(self, digest: Digest) -> bool:
        """Say whether the registry itself, not a mirror, has a blob in this repository."""
        path = f"/v2/{self.name}/blobs/{digest}"
        request = Request(f"look for {digest}", "HEAD", path, self._scopes("pull"), accepted=frozenset({200, 404}))
        return self._read(request)[0].status == 200

    def upload(
        self, descriptor: Descriptor, opened: Callable[[], Iterable[bytes]], mount_from: str | None = None
    ) -> Uploaded:
        """Push a blob unless it is there: say "exists", "mounted" (from the repository `mount_from`) or "pushed".

        `opened` gives the bytes from the start each time it is called. Raises SizeMismatch where they are more or
        fewer than the descriptor says.
        """
        patience = self._exchange.patience(self._cancelled)
        return Upload(self._exchange, self._push[0], self.name, descriptor, opened, patience).run(mount_from)

    def put_manifest(self, raw: bytes, media_type: str, which: str | Digest) -> Digest:
        """Push a manifest or an index under a tag or its digest; give its digest.

        One with a subject is also listed among the subject's referrers, where the registry does not do so itself.
        Raises DigestMismatch, and BlobNotFound where the registry lacks what it refers to.
        """
        digest = which if isinstance(which, Digest) else Digest.of(raw)
        hasher = digest.hasher()
        hasher.update(raw)
        if hasher.hexdigest() != digest.hex:
            raise DigestMismatch(f"push {self._shown(which)}: the manifest has another digest")
        request = Request(
            f"push {self._shown(which)}",
            "PUT",
            self._manifest_path(which),
            self._scopes("pull,push"),
            {"Content-Type": media_type, "Content-Length": str(len(raw))},
            body=raw,
            accepted=frozenset({200, 201, 202}),
        )
        answer, _ = self._read(request)
        check_digest(answer, digest, request.deed)
        if b'"subject"' in raw and "OCI-Subject" not in answer.headers:
            listing.refer(self, raw, media_type)
        return digest

    def tags(self) -> Iterator[str]:
        """Give the tags, page by page. Raises ImageNotFound where there is no such repository."""
        path = f"/v2/{self.name}/tags/list"
        request = Request(
            f"list the tags of {self.registry}/{self.name}", "GET", path, self._scopes("pull"), missing=ImageNotFound
        )
        return listing.names(self._exchange, self._push, request, "tags", self._cancelled)

    def referrers(self, digest: Digest, artifact_type: str = "") -> tuple[Descriptor, ...]:
        """Give what refers to a manifest: signatures, attestations and other artifacts."""
        request = Request(
            f"list what refers to {self._shown(digest)}",
            "GET",
            f"/v2/{self.name}/referrers/{digest}",
            self._scopes("pull"),
            {"Accept": mediatype.OCI_INDEX},
        )
        found = listing.referrers(self._exchange, self._push, request, self, digest, artifact_type, self._cancelled)
        return tuple(each for each in found if artifact_type in ("", each.artifact_type))

    def delete(self, which: str | Digest) -> None:
        """Delete a manifest by its digest, or a tag. Raises ImageNotFound, Unsupported where it may not be."""
        self._delete(self._manifest_path(which), self._shown(which), ImageNotFound)

    def delete_blob(self, digest: Digest) -> None:
        """Delete a blob. Raises BlobNotFound, Unsupported where it may not be."""
        self._delete(f"/v2/{self.name}/blobs/{digest}", f"blob {digest}", BlobNotFound)

    def _delete(self, path: str, shown: str, missing: type[NotFound]) -> None:
        scopes = self._scopes("pull,push,delete")
        request = Request(
            f"delete {shown}", "DELETE", path, scopes, accepted=frozenset({200, 202, 204, 405}), missing=missing
        )
        try:
            answer, _ = self._read(request)
        except RegistryError as error:
            if error.code == "UNSUPPORTED":
                raise Unsupported(request.deed, f"{self.registry} does not allow it") from error
            raise
        if answer.status == 405:
            raise Unsupported(request.deed, f"{self.registry} does not allow it")

    def _read(self, request: Request) -> tuple[Answer, bytes]:
        return self._exchange.read(request, self._push, _MAX_ANSWER_BYTES, self._exchange.patience(self._cancelled))

    def _manifest_request(
        self, deed: str, method: str, which: str | Digest, accept: Iterable[str], accepted: Iterable[int] = (200,)
    ) -> Request:
        headers = {"Accept": ", ".join(accept)}
        path, scopes = self._manifest_path(which), self._scopes("pull")
        return Request(deed, method, path, scopes, headers, accepted=frozenset(accepted), missing=ImageNotFound)

    def _manifest_path(self, which: str | Digest) -> str:
        name = which if isinstance(which, Digest) else self._reference.with_tag(which).tag
        return f"/v2/{self.name}/manifests/{name}"

    def _scopes(self, actions: str) -> frozenset[str]:
        return frozenset({f"repository:{self.name}:{actions}"})

    def _shown(self, which: str | Digest) -> str:
        return f"{self.registry}/{self.name}{'@' if isinstance(which, Digest) else ':'}{which}"

    def _digest_of(self, answer: Answer) -> Digest | None:
        try:
            return Digest.parse(answer.headers.get("Docker-Content-Digest", ""))
        except InvalidDigest:
            return None


def _media_type(answer: Answer) -> str:
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
