"""Opens images for running: what a name means now, pulled first where it is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pyrt.errors import ImageNotFound, InvalidOption
from pyrt.image.open import is_local, open_image
from pyrt.image.view import ImageView

if TYPE_CHECKING:
    from pyrt.image.progress import OnProgress
    from pyrt.image.workshop import Workshop

__all__ = ["PullPolicy", "Views"]

PullPolicy = Literal["always", "missing", "never"]


class Views:
    """The views of one engine. Those of the host are kept, for they are costly; nothing else is."""

    def __init__(self, workshop: Callable[[], Workshop]) -> None:
        self._workshop = workshop
        self._host: dict[str, ImageView] = {}

    def open(
        self,
        name: str,
        *,
        pull: PullPolicy = "missing",
        platform: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> ImageView:
        """Open an image by its name, its id, or a transport; `pull` says when its registry is asked.

        Raises InvalidReference, ImageNotFound, and what a pull raises.
        """
        if not isinstance(name, str):
            raise InvalidOption(f"{type(name).__name__} is no image name", argument="image")
        if pull not in ("always", "missing", "never"):
            raise InvalidOption(f"{pull!r} is none of always, missing, never", argument="pull")
        if is_local(name):
            view = self._host.get(name) or open_image(name)
            if view.is_host:
                self._host[name] = view
            return view
        return self._stored(name, pull, platform, on_progress)

    def _stored(self, name: str, pull: PullPolicy, platform: str | None, on_progress: OnProgress | None) -> ImageView:
        from pyrt.image.names import StoredName, parse_name
        from pyrt.image.stored import StoredView
        from pyrt.oci.platform import Platform

        parsed, store = parse_name(name), self._workshop().store
        is_id = isinstance(parsed, StoredName) and parsed.reference is None  # which no registry knows
        if isinstance(parsed, StoredName) and (is_id or pull != "always"):
            wanted = None if platform is None else Platform.parse(platform)
            try:
                return StoredView.open(store, store.find(name), name, platform=wanted)
            except ImageNotFound:
                if is_id or pull == "never":
                    raise
        from pyrt.image.collection import ImageCollection  # much more than a run needs
        from pyrt.image.progress import Progress, silent

        report = on_progress or silent
        report(Progress("", f"Pulling {name}", reference=name))
        image = ImageCollection(self._workshop()).pull(name, platform=platform, on_progress=report)
        return StoredView.open(store, store.find(image.id), name)
