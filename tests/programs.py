"""Programs that a test starts as a user would, with pipes."""

from __future__ import annotations

import subprocess
from types import TracebackType
from typing import AnyStr

__all__ = ["Program"]


class Program(subprocess.Popen[AnyStr]):
    """A Popen that is killed where its block is left by an exception, a timeout of the test for example."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, error, traceback)
