"""The verbs and the options before them, as click has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

import pyrt
from pyrt.cli.format import complain
from pyrt.cli.group import Verbs
from pyrt.cli.main import FAILED, REFUSED

__all__ = ["dispatch"]

VERBS = {
    "attach": "Take part in the streams of a container that runs.",
    "commit": "Make an image of a container.",
    "completion": "Print what completes the words of `pyrt` in a shell.",
    "container": "All verbs of containers.",
    "copy": "Copy an image between registries, layouts and archives.",
    "cp": "Copy files between a container and this machine.",
    "create": "Make a container without starting it.",
    "diff": "List what a container's program has changed.",
    "doctor": "Say what works on this host, what does not, why, and what would change that.",
    "events": "Show what happens, as it happens.",
    "exec": "Run a further program in a container that runs.",
    "export": "Write the files of a container as a tar.",
    "history": "Show the history of an image.",
    "image": "List, move, keep and remove images.",
    "images": "List images.",
    "import": "Make an image from a tar of a root file system.",
    "inspect": "Show what containers and images are.",
    "kill": "Kill containers, or send them another signal.",
    "load": "Take the images of an archive.",
    "logs": "Show what a container has written.",
    "pause": "Freeze all processes of containers.",
    "ps": "List containers.",
    "pull": "Bring an image from a registry.",
    "push": "Send an image to its registry.",
    "rename": "Give a container another name.",
    "restart": "Stop containers and start them again.",
    "rm": "Remove containers.",
    "rmi": "Remove images.",
    "run": "Run a program in a new container.",
    "save": "Write images as an archive.",
    "start": "Start containers.",
    "stats": "Show what containers use.",
    "stop": "Ask containers to end, and kill those that do not.",
    "system": "What is about the whole machine.",
    "tag": "Give an image one more name.",
    "top": "List the processes of a container.",
    "unpause": "Let all processes of paused containers go on.",
    "update": "Change the limits and the restart policy of containers.",
    "volume": "Make, list, copy and remove volumes.",
    "wait": "Wait until containers have ended, and print their exit codes.",
}
MODULES = {"import": "import_tar"}  # where the verb is a word of Python's
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def dispatch(words: Sequence[str]) -> int:
    """Run the verb that the words name and give its exit code; 125 for a flag that is none. Raises what it raises."""
    try:
        code = pyrt_command.main(args=list(words), prog_name="pyrt", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "pyrt"
        message = error.format_message().replace(". Did you mean", ", did you mean").rstrip(".")
        complain(f"{message}; see `{path} --help`")
        return FAILED if isinstance(error, (click.NoSuchOption, click.BadOptionUsage)) else REFUSED
    except click.Abort as error:
        raise KeyboardInterrupt from error
    return code if isinstance(code, int) else 0


@click.group("pyrt", cls=Verbs, verbs=VERBS, modules=MODULES, context_settings=SETTINGS)
@click.version_option(pyrt.__version__, message="%(prog)s %(version)s")
@click.option(
    "--root", metavar="DIR", help="Keep everything in DIR (default: $PYRT_ROOT, or where the user's data is)."
)
@click.pass_context
def pyrt_command(context: click.Context, root: str | None) -> Any:
    """Run containers without a daemon."""
    context.obj = root
