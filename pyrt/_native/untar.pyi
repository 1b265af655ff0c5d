from types import TracebackType
from typing import Self

NO_OWNER: int
UNPRIVILEGED: int
IMPLIED_DIRECTORY: int
MISSING_LINK: int
OPAQUE_ROOT: int

class Untar:
    def __init__(
        self,
        root: int,
        flags: int = 0,
        *,
        bytes_limit: int,
        headers_limit: int,
        metadata_bytes_limit: int,
        memory_bytes_limit: int,
    ) -> None: ...
    def feed(self, chunk: bytes | bytearray | memoryview) -> bool: ...
    def finish(self) -> list[tuple[int, bytes, bytes]]: ...
    def counts(self) -> dict[str, int]: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
