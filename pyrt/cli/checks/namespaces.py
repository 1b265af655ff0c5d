"""Namespaces: each is made once, with a first process in it; and the ids that a user namespace gets."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pyrt.cli.checks.check import Check, limited, missing, ok
from pyrt.cli.checks.kernel import start
from pyrt.errors import PyrtError, SyscallError
from pyrt.oci.spec import Namespace
from pyrt.runtime.namespaces import clone_flags
from pyrt.runtime.program import open_program
from pyrt.runtime.rootless import IdMappings, UserNamespaces, own_mappings

__all__ = ["examine", "ids"]

NEEDED = (Namespace("mount"), Namespace("pid"))
OTHERS = ("network", "ipc", "uts", "cgroup")


def examine() -> Iterator[Check]:
    """Give the user namespace with its ids, and the others; those of an ordinary user are made inside of it."""
    is_root = os.geteuid() == 0
    program = open_program()
    try:
        with UserNamespaces() as made:
            mappings = own_mappings()
            try:
                userns = made.get(mappings)
            except PyrtError as error:
                without = limited if is_root else missing
                yield without("user namespace", str(error))
                userns = -1
            else:
                yield ok("user namespace")
                yield ids(mappings, is_root)
            yield from _others(program, -1 if is_root else userns)
    finally:
        os.close(program)


def ids(mappings: IdMappings, is_root: bool) -> Check:
    """Say how many ids the user namespace of a container has."""
    title = "ids in user namespaces"
    count = min(sum(line.size for line in lines) for lines in (mappings.uids, mappings.gids))
    if count > 1 or is_root:
        return ok(title, f"{count} ids" + (", written by newuidmap" if mappings.helpers else ""))
    return limited(
        title,
        "only your own id, which is root inside: programs cannot change to another user there",
        "as root: install newuidmap (package uidmap), and usermod --add-subuids 100000-165535 "
        f"--add-subgids 100000-165535 {_login()}",
    )


def _others(program: int, userns: int) -> Iterator[Check]:
    for kind in ("", *OTHERS):
        title = f"{kind} namespace" if kind else "mount and PID namespaces"
        try:
            start(program, clone_flags((*NEEDED, Namespace(kind)) if kind else NEEDED), userns)
        except SyscallError as error:
            yield missing(title, str(error), "a kernel with it, and root or a user namespace that works")
        else:
            yield ok(title)


def _login() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
