"""`artcafe completion`: shell completion."""

from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]


class Shell(StrEnum):
    """The supported shells."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="The shell that reads the script.")]) -> None:
    """Print the completion script for a shell."""
    typer.echo(get_completion_script(prog_name="artcafe", complete_var="_ARTCAFE_COMPLETE", shell=shell))
