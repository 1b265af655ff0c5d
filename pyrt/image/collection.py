"""`engine.images`: the images of an engine's root, under docker-py's names.

Takes names as people write them and files, gives Image objects. Everything here can also be done by another process on
the same root at the same time. A verb is loaded by its first call.
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any, BinaryIO

from pyrt.errors import ImageNotFound, InvalidOption, InvalidReference
from pyrt.image.filters import Filters, chooser
from pyrt.image.inspect import created_seconds, history, inspect
from pyrt.image.names import Transport, parse_name
from pyrt.image.progress import OnProgress, silent
from pyrt.image.record import ImageName, StoredImage
from pyrt.image.remove import Removed, prune, remove
from pyrt.image.usage import Usage, usage
from pyrt.image.workshop import Workshop
from pyrt.layer import Compression
from pyrt.oci.config import ImageConfig
from pyrt.oci.digest import Digest
from pyrt.oci.platform import Platform
from pyrt.oci.reference import Reference

__all__ = ["Image", "ImageCollection"]

Data = bytes | BinaryIO | str | os.PathLike[str]
"""Bytes, a file open for reading, or the path of one."""


class Image:
    """One image of the store: `id`, `short_id`, `tags`, `labels`, `attrs` (as `docker image inspect` has it)."""

    def __init__(self, workshop: Workshop, stored: StoredImage) -> None:
        self._workshop = workshop
        self._stored = stored

    @property
    def id(self) -> str:
        """The digest of its config."""
        return str(self._stored.id)

    @property
    def short_id(self) -> str:
        """The algorithm and the first twelve digits of the id."""
        return f"{self._stored.id.algorithm}:{self._stored.id.short}"

    @property
    def tags(self) -> list[str]:
        """Its names, as people write them."""
        return [each.familiar for each in self._stored.tags]

    @property
    def digests(self) -> list[str]:
        """Its names by the digests that registries have it under."""
        return [each.familiar for each in self._stored.digests]

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of its config."""
        return self._workshop.store.document(self._stored).config.labels

    @property
    def attrs(self) -> dict[str, Any]:
        """What `docker image inspect` shows of it."""
        return inspect(self._workshop.store, self._stored)

    @property
    def size_bytes(self) -> int:
        """The size of its files."""
        return self._stored.record.size_bytes

    @property
    def created_seconds(self) -> int:
        """When it was made, in seconds since 1970; 0 where it does not say."""
        return created_seconds(self._workshop.store.document(self._stored))

    def source(self, name: str) -> str | None:
        """Give the digest that the registry had under one of its names; None where it did not come from there."""
        return next((str(each.source) for each in self._stored.names if each.source and each.is_called(name)), None)

    def history(self) -> list[dict[str, Any]]:
        """Give the rows of `docker history`, the newest first."""
        return history(self._workshop.store, self._stored)

    def tag(self, repository: str, tag: str | None = None) -> bool:
        """Give the image one more name; another image that had it loses it. Raises InvalidReference."""
        reference = named(repository, tag)
        if reference.digest is not None:
            raise InvalidOption(f"{repository}: a digest is no name to give", argument="repository")
        self._stored = self._workshop.store.point(self._stored, [ImageName(reference, self._stored.id)])
        self._workshop.note("tag", self.id, reference.familiar, self._stored)
        return True

    def save(self, target: str | os.PathLike[str] | BinaryIO, *, named: bool = True) -> None:
        """Write the image as an archive that docker, podman and skopeo read, to a path or an open file."""
        from pyrt.image.save import save

        save(self._workshop.store, [(self._stored, self._stored.tags if named else ())], target)
        self._workshop.note("save", self.id, self.id, self._stored)

    def remove(self, *, force: bool = False, noprune: bool = False) -> Removed:
        """Remove the image with all of its names. Raises Conflict."""
        workshop = self._workshop
        users, note = workshop.users, workshop.note_removal
        return remove(workshop.store, self.id, force=force, keep_unused=noprune, users=users, note=note)

    def reload(self) -> None:
        """Look again which names it has. Raises ImageNotFound where it was removed."""
        self._stored = self._workshop.store.find(self.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Image) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<Image: {', '.join(repr(tag) for tag in self.tags) or self.short_id}>"


class ImageCollection:
    """The images of an engine."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._store = workshop.store

    def get(self, name: str) -> Image:
        """Give the image of a name, an id, or the beginning of one. Raises ImageNotFound."""
        return self._image(self._store.find(name))

    def list(self, name: str | None = None, all: bool = False, filters: Filters | None = None) -> list[Image]:
        """Give the images, the newest first: those of repository `name`, where `filters` let them pass.

        Filters are dangling, label, reference, before and since. `all` is Docker's, and changes nothing here: pyrt has
        no images without a purpose of their own.
        """
        passes = chooser(self._store, filters, known=("before", "dangling", "label", "reference", "since", "until"))
        wanted = None if name is None else chooser(self._store, {"reference": name}, known=("reference",))
        return [self._image(each) for each in self._store.all() if passes(each) and (wanted is None or wanted(each))]

    def pull(
        self,
        repository: str,
        tag: str | None = None,
        *,
        all_tags: bool = False,
        platform: str | None = None,
        on_progress: OnProgress = silent,
    ) -> Image:
        """Bring an image into the store: from its registry, or from another medium by its transport (`oci:DIR`, …).

        `platform` is `os/architecture[/variant]`, by default this machine's. `on_progress` is called with each step of
        each layer, by several threads. With `all_tags` every tag of the repository is pulled, and the last one given.
        Raises ImageNotFound, Unauthorized, Forbidden, Unavailable, IntegrityError, InvalidReference.
        """
        wanted = None if platform is None else Platform.parse(platform)
        name = parse_name(repository)
        if isinstance(name, Transport):
            return self._take(name, wanted, on_progress)
        if name.reference is None:
            raise InvalidReference(f"{repository}: an image is pulled by its name, not by its id", argument="image")
        reference = named(repository, tag)
        references = [reference]
        if all_tags:
            repository_there = self._workshop.client().repository(reference)
            references = [reference.with_tag(each) for each in repository_there.tags()]
            if not references:
                raise ImageNotFound(f"{reference.familiar_repository}: the repository has no tags")
        from pyrt.image.pull import pull

        workshop, client = self._workshop, self._workshop.client()
        for each in references:
            pulled = pull(self._store, workshop.trees, client, each, platform=wanted, on_progress=on_progress)
            workshop.note("pull", each.familiar, each.familiar_repository, pulled.image)
        return self._image(pulled.image)

    def push(self, repository: str, tag: str | None = None, *, on_progress: OnProgress = silent) -> str:
        """Send the image of this name to its registry; give its digest there. Raises ImageNotFound and as `pull`."""
        from pyrt.image.pull import push

        client, reference = self._workshop.client(), named(repository, tag)
        digest = push(self._store, client, reference, on_progress=on_progress)
        self._workshop.note("push", reference.familiar, reference.familiar_repository)
        return str(digest)

    def load(self, data: Data, *, on_progress: OnProgress = silent) -> builtins.list[Image]:
        """Take the images of an archive: what `docker save` wrote, or an OCI archive, compressed or not."""
        from pyrt.image.load import load

        workshop = self._workshop
        with opened(data) as file:
            stored = load(self._store, workshop.trees, file, scratch=workshop.scratch, on_progress=on_progress)
        for each in stored:
            workshop.note("load", str(each.id), str(each.id), each)
        return [self._image(each) for each in stored]

    def save(self, names: str | Sequence[str], target: str | os.PathLike[str] | BinaryIO) -> None:
        """Write images as one archive that docker, podman and skopeo read. Raises ImageNotFound."""
        from pyrt.image.save import save

        chosen = []
        for name in [names] if isinstance(names, str) else names:
            image = self._store.find(name)
            asked = [each.reference for each in image.names if each.is_called(name)]
            chosen.append((image, tuple(each for each in asked if each.tag is not None)))
        save(self._store, chosen, target)
        for image, _ in chosen:
            self._workshop.note("save", str(image.id), str(image.id), image)

    def commit(
        self,
        parent: str,
        upper: Iterable[bytes],
        repository: str | None = None,
        tag: str | None = None,
        *,
        config: ImageConfig | None = None,
        changes: Sequence[str] = (),
        message: str = "",
        author: str = "",
        created_by: str = "",
        compression: Compression = "gzip",
    ) -> Image:
        """Make an image of a parent and one more layer, an uncompressed tar in pieces.

        `config` replaces the parent's, then `changes` (a Dockerfile's instructions) are applied. Raises ImageNotFound,
        InvalidOption.
        """
        from pyrt.image.commit import commit

        stored = commit(
            self._store,
            self._workshop.trees,
            upper,
            self._store.find(parent),
            config=config,
            changes=changes,
            message=message,
            author=author,
            created_by=created_by,
            reference=None if repository is None else named(repository, tag),
            compression=compression,
        )
        return self._image(stored)

    def import_tar(
        self,
        data: Data,
        repository: str | None = None,
        tag: str | None = None,
        *,
        changes: Sequence[str] = (),
        message: str = "",
        platform: str | None = None,
        compression: Compression = "gzip",
    ) -> Image:
        """Make an image of one layer from a tar of a root file system. `changes` are a Dockerfile's instructions."""
        from pyrt.image.commit import import_tar

        with opened(data) as file:
            stored = import_tar(
                self._store,
                self._workshop.trees,
                iter(lambda: file.read(1 << 20), b""),
                changes=changes,
                message=message,
                reference=None if repository is None else named(repository, tag),
                platform=None if platform is None else Platform.parse(platform),
                compression=compression,
            )
        self._workshop.note("import", str(stored.id), str(stored.id), stored)
        return self._image(stored)

    def remove(self, image: str, *, force: bool = False, noprune: bool = False) -> Removed:
        """Remove a name, and with its last name the image. Raises ImageNotFound, Conflict."""
        users, note = self._workshop.users, self._workshop.note_removal
        return remove(self._store, image, force=force, keep_unused=noprune, users=users, note=note)

    def prune(self, filters: Filters | None = None, *, all: bool = False) -> Removed:
        """Remove the images without a tag, or with `all` those that no container is made of; free what is unused.

        Filters are dangling (False is `all`), label and until.
        """
        rest = dict(filters or {})
        all = all or str(rest.pop("dangling", "true")).lower() in ("false", "0")
        wanted = chooser(self._store, rest, known=("label", "until"))
        users, note = self._workshop.users, self._workshop.note_removal
        return prune(self._store, all=all, wanted=wanted, users=users, note=note)

    def copy(
        self,
        source: str,
        target: str,
        *,
        platform: str | None = None,
        all_platforms: bool = False,
        on_progress: OnProgress = silent,
    ) -> str:
        """Copy an image between any two media, registries among them, without the store; give its digest.

        `all_platforms` copies everything that an index refers to, instead of one platform's image.
        """
        from pyrt.image.copy import copy
        from pyrt.image.media import open_source, open_target

        workshop, client = self._workshop, self._workshop.client()
        with (
            closing(open_source(source, client, spool_directory=workshop.scratch)) as origin,
            closing(open_target(target, client)) as place,
        ):
            wanted = None if platform is None else Platform.parse(platform)
            copied = copy(origin, place, platform=wanted, all_platforms=all_platforms, on_progress=on_progress)
        return str(copied.descriptor.digest)

    def du(self) -> Usage:
        """Say what the images take on disk, each layer counted once."""
        return usage(self._store)

    def _take(self, name: Transport, platform: Platform | None, on_progress: OnProgress) -> Image:
        from pyrt.image.media import open_source
        from pyrt.image.receive import receive, select

        workshop = self._workshop
        with closing(open_source(str(name), workshop.client(), spool_directory=workshop.scratch)) as source:
            manifest = select(source, source.resolve(), platform)
            stored = receive(self._store, workshop.trees, source, manifest, on_progress=on_progress)
        workshop.note("load", str(stored.id), str(stored.id), stored)
        return self._image(stored)

    def _image(self, stored: StoredImage) -> Image:
        return Image(self._workshop, stored)


def named(repository: str, tag: str | None = None) -> Reference:
    """Read a repository and a tag, which may be in the repository already. Raises InvalidReference."""
    reference = Reference.parse(repository)
    if tag is None:
        return reference
    if tag.startswith("sha256:"):
        return reference.with_digest(Digest.parse(tag))
    return reference.with_tag(tag)


def opened(data: Data) -> closing[BinaryIO]:
    """Open what images are read from; a file that the caller has opened stays open."""
    import io

    if isinstance(data, (str, os.PathLike)):
        return closing(open(data, "rb"))
    if isinstance(data, bytes):
        return closing(io.BytesIO(data))
    return _Borrowed(data)


class _Borrowed(closing[BinaryIO]):
    def __exit__(self, *exception: object) -> None:
        return None
