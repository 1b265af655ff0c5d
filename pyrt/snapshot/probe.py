"""Whether an overlay works here: found out by mounting one where nobody sees it, not by versions.

Takes a lower directory and a user namespace, gives None or the reason why not. The answer is kept, for a try costs
about half a millisecond.
"""

from __future__ import annotations

import errno

from pyrt._native.userns import probe_overlay
from pyrt.errors import SyscallError

__all__ = ["OverlayProbe"]

_ATTRIBUTES = "setxattr"
_NO_ANSWER = frozenset({"chdir", "mmap", "mprotect", "clone", "waitid"})


class OverlayProbe:
    """Tries overlays, each once. Thread-safe: two threads that ask the same at once may both try."""

    def __init__(self) -> None:
        self._failures: dict[tuple[str, bool], SyscallError | None] = {}

    def refusal(self, lower: str, user_namespace: int | None = None) -> str | None:
        """Give the reason why `lower` cannot be the lower directory of an overlay; None: it can.

        `user_namespace` is the descriptor of the one in which the overlay would be mounted, None for the present one.
        Raises SyscallError where `lower` cannot be entered or nothing could be tried.
        """
        failure = self._try(lower, user_namespace)
        if failure is None or failure.op == _ATTRIBUTES:
            return None
        return f"{failure}: {_explain(failure, user_namespace is not None)}"

    def shortcoming(self, lower: str, user_namespace: int | None = None) -> str | None:
        """Give what an overlay that can be mounted cannot do all the same; None: nothing. Otherwise as `refusal`."""
        failure = self._try(lower, user_namespace)
        if failure is None or failure.op != _ATTRIBUTES:
            return None
        lacks = "directories of the image cannot be renamed, nor replaced by others of the same name"
        return f"{lacks}: a tmpfs keeps {failure.filename} since Linux 6.6 ({failure.strerror})"

    def _try(self, lower: str, user_namespace: int | None) -> SyscallError | None:
        question = lower, user_namespace is not None
        if question in self._failures:
            return self._failures[question]
        failure = None
        try:
            probe_overlay(lower, -1 if user_namespace is None else user_namespace)
        except SyscallError as e:
            if e.op in _NO_ANSWER:
                raise
            failure = e.with_traceback(None)
        self._failures[question] = failure
        return failure


def _explain(failure: SyscallError, in_user_namespace: bool) -> str:
    if failure.op == "mount" and failure.errno == errno.ENODEV:
        return "the kernel has no overlay file system; as root: modprobe overlay"
    if failure.op == "mount" and failure.errno == errno.EPERM and in_user_namespace:
        return "the kernel lets only root mount an overlay (before Linux 5.11)"
    if failure.op == "mount" and failure.errno == errno.EINVAL:
        below = "a file system is mounted below it, which a user namespace may not uncover, or " * in_user_namespace
        return f"{below}its file system cannot be a lower one, or is itself an overlay on an overlay"
    if failure.errno in (errno.EPERM, errno.EACCES):
        return "mounting needs root or a user namespace, and no seccomp filter or security module against it"
    return "the kernel refuses"
