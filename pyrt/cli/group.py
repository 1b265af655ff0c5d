"""A word that is followed by a verb."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

__all__ = ["Verbs"]


class Verbs(click.Group):
    """Verbs of modules, each loaded when it is used: `verbs` are what a list says of them, `modules` their homes where
    these have other names, `aliases` further names of theirs.
    """

    def __init__(
        self,
        *arguments: Any,
        verbs: Mapping[str, str],
        modules: Mapping[str, str] | None = None,
        aliases: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.verbs = verbs
        self._modules = modules or {}
        self._aliases = aliases or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = self._aliases.get(cmd_name, cmd_name)
        if name not in self.verbs:
            return None
        verb: click.Command = import_module(f"pyrt.cli.{self._modules.get(name, name)}").command
        return verb

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.verbs[name]) for name in self.list_commands(ctx)])
