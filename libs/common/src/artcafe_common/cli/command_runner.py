"""Runs a command that the operator names, in the middle of one of ours."""

import asyncio

from artcafe_common.cli import output
from artcafe_common.cli.exit_codes import Failure


async def run_then(command: str) -> None:
    """Run a command line in the shell, with its output. Raises Failure if it fails; does nothing for an empty one."""
    if not command:
        return
    output.print_line(f"running {command}")
    process = await asyncio.create_subprocess_shell(command)
    if code := await process.wait():
        raise Failure(f"`{command}` failed with {code}; when it can succeed, run this again")
