"""Options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
ApiUrl = Annotated[
    str | None, typer.Option("--api", envvar="ARTCAFE_API", metavar="URL", help="The API's URL.")
]
AccountId = Annotated[
    str,
    typer.Option(
        "--account", envvar="ARTCAFE_TENANT", metavar="ID", help="The organization, if not the current one."
    ),
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="The maximum number of entries.")]
SeedFile = Annotated[
    Path | None, typer.Option("--seed-file", metavar="PATH", help="The file with the client's seed.")
]
Name = Annotated[str, typer.Argument(help="The name.")]
Id = Annotated[str, typer.Argument(help="The id.")]
