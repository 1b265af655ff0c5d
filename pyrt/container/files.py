"""Files in and out of one container, running or not: `fs`, and docker-py's `get_archive` and `put_archive`."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, BinaryIO

from pyrt.errors import WrongState

if TYPE_CHECKING:
    from pyrt.container.keeping import Keeping
    from pyrt.container.record import KeptContainer
    from pyrt.files import ContainerFS, ContainerPath, Copied
    from pyrt.layer import Root

__all__ = ["Files", "open_root"]

_PAUSE_SECONDS = 0.02
_PATIENCE_SECONDS = 2.0


class Files(ABC):
    """The verbs on the files of a container."""

    @abstractmethod
    def _open_root(self) -> Root:
        """Give its root, to be closed."""

    @property
    def fs(self) -> ContainerFS:
        """Its files, with pathlib's manners: see ContainerFS. In a `with` block all calls share what they need."""
        from pyrt.files import ContainerFS

        return ContainerFS(self._open_root)

    def get_archive(
        self, path: ContainerPath, chunk_size: int | None = 2 << 20
    ) -> tuple[Iterator[bytes], dict[str, Any]]:
        """Give a tar of what is at `path`, in pieces, and what it is: name, size, mode, mtime, linkTarget.

        A container that has ended is not started before the iterator has come to its end, or is closed. Raises
        NotFound, InvalidArgument.
        """
        from pyrt.files import get_archive

        root = self._open_root()
        try:
            return get_archive(root, path, chunk_size=chunk_size, on_end=root.close)
        except BaseException:
            root.close()
            raise

    def put_archive(
        self, path: ContainerPath, data: bytes | Iterable[bytes] | BinaryIO, *, no_overwrite_dir_non_dir: bool = False
    ) -> bool:
        """Unpack a tar into the directory `path`, which has to be there; give True.

        What has an entry's name is replaced, a directory by a file and the reverse only where
        `no_overwrite_dir_non_dir` is False. Raises NotFound, InvalidArgument, Conflict.
        """
        from pyrt.files import put_archive

        with closing(self._open_root()) as root:
            return put_archive(root, path, data, no_overwrite_dir_non_dir=no_overwrite_dir_non_dir)

    def copy_in(
        self, source: str | os.PathLike[str], path: ContainerPath, *, archive: bool = False, follow_link: bool = False
    ) -> Copied:
        """Copy `source`, of the host, to `path`, by the rules of `docker cp`.

        A directory becomes `path`, or goes into it where that is a directory; of one given as `dir/.` what is in it.
        `archive` keeps owners, else all belongs to root; `follow_link` copies what a link at `source` leads to. Gives
        what was copied. Raises NotFound, InvalidArgument, Conflict.
        """
        from pyrt.files import copy_in

        with closing(self._open_root()) as root:
            return copy_in(root, source, path, archive=archive, follow_link=follow_link)

    def copy_out(
        self,
        path: ContainerPath,
        destination: str | os.PathLike[str],
        *,
        archive: bool = False,
        follow_link: bool = False,
    ) -> Copied:
        """Copy `path` to `destination`, of the host (see copy_in).

        What is copied belongs to the caller, without set-id bits, unless `archive` keeps owners. Devices are left out.
        """
        from pyrt.files import copy_out

        with closing(self._open_root()) as root:
            return copy_out(root, path, destination, archive=archive, follow_link=follow_link)


def open_root(keeping: Keeping[Any], container: KeptContainer) -> Root:
    """Give the files of a container: those of its process, or its layers, locked until it is closed.

    Another that has them is waited for, a little. Raises WrongState, ContainerNotFound, Unsupported.
    """
    from pyrt.files import stopped_root

    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        root = keeping.launching.open_running(container)
        if root is not None:
            return root
        try:
            lock = keeping.store.borrow(container)
            break
        except WrongState as e:
            if time.monotonic() > deadline:
                message = f"container {container.name} runs in another program, or another has its files open"
                raise WrongState(message, have="busy", want="exited") from e
        time.sleep(_PAUSE_SECONDS)
    try:
        namespace = keeping.launching.user_namespace() if container.in_user_namespace else None
        upper, work = keeping.uppers.upper(container.id), keeping.uppers.work(container.id)
        return stopped_root(upper, work, container.lowers, namespace, on_close=lock.close)
    except BaseException:
        lock.close()
        raise
