"""The command line: one file for each verb, docker's words and docker's exit codes.

Takes the words of a command line, gives an exit code and what a person or a script reads. Raises nothing: `main.main`
turns every error of the rooms below into one line on stderr and the exit code that the error carries.
"""

from __future__ import annotations

__all__ = ["main"]
