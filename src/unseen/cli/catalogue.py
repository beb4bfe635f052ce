"""A command that lists a catalogue, and explains one entry of it with `show NAME`."""

from typing import Any

import typer
from typer.core import TyperGroup

from unseen.errors import did_you_mean


class Catalogue(TyperGroup):
    """A group whose entries are no commands: whoever leaves `show` out is told to put it in."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of that name, or say what explains an entry."""
        found = super().get_command(ctx, cmd_name)
        if found is None:
            near = did_you_mean(cmd_name, self.commands)
            hint = near or f"; `{ctx.command_path} show {cmd_name}` explains one entry of the list."
            raise typer.BadParameter(f"there is no command {cmd_name!r}{hint}")
        return found
