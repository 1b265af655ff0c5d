"""The program `pyrt`.

`pyrt run` is the one verb whose start-up counts, and it reads its own words (docker's rules are not click's), so click
is loaded for everything else only, and rich for a table on a terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from pyrt.errors import PyrtError

__all__ = ["guarded", "main"]

FAILED = 125  # docker's: the container engine itself
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the words of a command line (sys.argv's where none are given) and give the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["run"]:
        from pyrt.cli.run import run

        return guarded(lambda: run(words[1:]))
    from pyrt.cli.verbs import dispatch

    return guarded(lambda: dispatch(words))


def guarded(verb: Callable[[], int]) -> int:
    """Give the exit code of a verb; where it fails, say why in one line on stderr."""
    try:
        return verb()
    except PyrtError as error:
        from pyrt.cli.format import complain, in_flags

        complain(in_flags(str(error)))
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return FAILED
    except Exception as error:
        from pyrt.cli.format import complain

        if os.environ.get("PYRT_DEBUG"):
            raise
        kind = "" if isinstance(error, OSError) else f"internal error ({type(error).__name__}, see PYRT_DEBUG=1): "
        complain(f"{kind}{error}")
        return FAILED


def _discard_output() -> None:
    """Let what is still buffered go nowhere, for Python would complain of it when it ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
