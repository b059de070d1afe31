"""Options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Answer with JSON, for programs.")]
ApiUrl = Annotated[
    str | None, typer.Option("--api", envvar="ARTCAFE_API", metavar="URL", help="The API's address.")
]
AccountId = Annotated[
    str,
    typer.Option(
        "--account", envvar="ARTCAFE_TENANT", metavar="ID", help="The organization, if not the current one."
    ),
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="How many at most.")]
SeedFile = Annotated[
    Path | None, typer.Option("--seed-file", metavar="PATH", help="The file of the client's seed.")
]
Name = Annotated[str, typer.Argument(help="Its name.")]
Id = Annotated[str, typer.Argument(help="Its id.")]
