"""`artcafe completion`: the script that a shell reads."""

from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]


class Shell(StrEnum):
    """The shells that are known."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="Which shell reads it.")]) -> None:
    """Print the script that completes artcafe's commands in a shell."""
    typer.echo(get_completion_script(prog_name="artcafe", complete_var="_ARTCAFE_COMPLETE", shell=shell))
