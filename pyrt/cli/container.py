"""`pyrt container …`: the verbs on containers under docker's longer names."""

from __future__ import annotations

import click

from pyrt.cli.group import Verbs

__all__ = ["command"]

VERBS = {
    "attach": "Take part in the streams of a container that runs.",
    "commit": "Make an image of a container.",
    "create": "Make a container without starting it.",
    "diff": "List what a container's program has changed.",
    "exec": "Run a further program in a container that runs.",
    "export": "Write the files of a container as a tar.",
    "inspect": "Show what containers are.",
    "kill": "Kill containers, or send them another signal.",
    "ls": "List containers.",
    "pause": "Freeze all processes of containers.",
    "prune": "Remove all containers that do not run.",
    "rename": "Give a container another name.",
    "restart": "Stop containers and start them again.",
    "rm": "Remove containers.",
    "run": "Run a program in a new container.",
    "start": "Start containers.",
    "stats": "Show what containers use.",
    "stop": "Ask containers to end, and kill those that do not.",
    "top": "List the processes of a container.",
    "unpause": "Let all processes of paused containers go on.",
    "update": "Change the limits and the restart policy of containers.",
    "wait": "Wait until containers have ended, and print their exit codes.",
}
MODULES = {"inspect": "inspect:of_containers", "ls": "ps", "prune": "container_prune"}
ALIASES = {"list": "ls", "ps": "ls", "remove": "rm"}


@click.group("container", cls=Verbs, verbs=VERBS, modules=MODULES, aliases=ALIASES)
def command() -> None:
    """All verbs of containers."""
