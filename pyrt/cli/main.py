"""The program `pyrt`.

`pyrt run` and `pyrt exec` are the verbs whose start-up counts, and they read their own words (docker's rules are not
click's), so click is loaded for everything else only, and rich for a table on a terminal.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

from pyrt.errors import PyrtError

__all__ = ["FAILED", "REFUSED", "guarded", "main"]

FAILED = 125  # docker's: the container engine itself
REFUSED = 1  # docker's: a verb that runs no container
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the words of a command line and give the exit code; without any, be the program itself, and end with it."""
    if arguments is None:
        leave(serve(sys.argv[1:]))
    return serve(arguments)


def serve(words: Sequence[str]) -> int:
    """Give the exit code of the verb that the words begin with."""
    quick = {"run": _run, "exec": _exec}.get(words[0]) if words else None
    if quick is not None:
        gc.disable()  # it ends with its program, and makes no cycles that grow
        return guarded(lambda: quick(words[1:]))
    return guarded(lambda: _dispatch(words), REFUSED)


def leave(code: int) -> NoReturn:
    """End the process. Everything is closed by now, and to take the interpreter to pieces would cost another 10 ms."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit(code)


def guarded(verb: Callable[[], int], failed: int = FAILED) -> int:
    """Give the exit code of a verb; where it fails, say why in one line on stderr, and give `failed`."""
    try:
        return verb()
    except PyrtError as error:
        from pyrt.cli.format import complain, in_flags

        complain(in_flags(str(error)))
        return failed if error.exit_code == FAILED else error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # nobody reads the output, so nobody would read a complaint
        return failed
    except Exception as error:
        from pyrt.cli.format import complain

        if os.environ.get("PYRT_DEBUG"):
            raise
        complain(_said(error))
        return failed


def _said(error: Exception) -> str:
    if not isinstance(error, OSError):
        return f"internal error ({type(error).__name__}, see PYRT_DEBUG=1): {error}"
    return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)


def _run(words: Sequence[str]) -> int:
    from pyrt.cli.run import run

    return run(words)


def _exec(words: Sequence[str]) -> int:
    from pyrt.cli.exec import exec

    return exec(words)


def _dispatch(words: Sequence[str]) -> int:
    from pyrt.cli.verbs import dispatch

    return dispatch(words)
