import os
from collections.abc import Sequence

def spawn(
    program: int | str | os.PathLike[str],
    argv: Sequence[bytes],
    fds: Sequence[int],
    namespaces: int = 0,
    *,
    userns: int = -1,
    cgroup: int = -1,
    joins: Sequence[int] = (),
) -> tuple[int, int]: ...
