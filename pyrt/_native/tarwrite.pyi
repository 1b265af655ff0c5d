from collections.abc import Sequence

USERXATTR: int
ROOT: int
PLAIN: int

class TarWriter:
    def __init__(
        self,
        root: int,
        flags: int = 0,
        *,
        uids: Sequence[tuple[int, int, int]] = (),
        gids: Sequence[tuple[int, int, int]] = (),
        latest: int = ...,
    ) -> None: ...
    def step(self, size: int) -> bytes: ...
    def counts(self) -> dict[str, int]: ...
    def close(self) -> None: ...
