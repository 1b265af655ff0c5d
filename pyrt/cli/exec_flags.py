"""The flags of `pyrt exec`: docker exec's, under docker's names, and pyrt's own at the end."""

from __future__ import annotations

from collections.abc import Mapping

from pyrt.cli import values
from pyrt.cli.arguments import Flag
from pyrt.cli.flags import many, one, switch

__all__ = ["BY_NAME", "REFUSED", "SECTIONS"]

SECTIONS: Mapping[str, tuple[Flag, ...]] = {
    "Streams": (
        switch("-i --interactive", "interactive", "pass stdin on; it is empty otherwise"),
        switch("-t --tty", "tty", "give the program a terminal"),
        switch("-d --detach", "detach", "do not wait for the program, which has no input and shows no output"),
    ),
    "Program": (
        many("-e --env", "environment", values.environment, "NAME[=VALUE]", "set a variable, or take it from here"),
        many("--env-file", "environment_files", values.environment_file, "FILE", "set the variables of a file"),
        one("-w --workdir", "workdir", values.plain, "DIR", "working directory in the container"),
        one("-u --user", "user", values.user, "NAME|UID[:GROUP|GID]", "who the program runs as"),
        switch("--privileged", "privileged", "all capabilities, no filter"),
    ),
    "Not in docker": (
        one("--timeout", "timeout", values.seconds, "SECONDS", "kill the program after this time (exit code 124)"),
    ),
    "": (switch("--help", "help", "show this list"),),
}

BY_NAME: Mapping[str, Flag] = {name: flag for flags in SECTIONS.values() for flag in flags for name in flag.names}

REFUSED: Mapping[str, str] = {
    "--detach-keys": "a program that this command started ends with it; -d starts one that goes on",
}
