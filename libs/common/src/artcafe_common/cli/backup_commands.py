"""`artcafe backup` and `artcafe restore`."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from artcafe_common.cli import output
from artcafe_common.cli.exit_codes import ExitCode, Failure
from artcafe_common.cli.options import AsJson

T = TypeVar("T")
PARTS = ("redis", "keys", "streams")
Only = Annotated[
    list[str] | None, typer.Option(help="A part: redis, keys or streams; may be repeated. All by default.")
]


def backup(*, only: Only = None, as_json: AsJson = False) -> None:
    """Back up Redis, the keys directory (encrypted) and the streams; old backups are removed."""
    from artcafe_common.backup.create import create_backup
    from artcafe_common.backup.manifest import Part
    from artcafe_common.backup.settings import BackupSettings
    from artcafe_common.settings import load

    parts = [Part(part) for part in _check_parts(only)]
    created = _run(create_backup(load(BackupSettings), parts))
    size = sum(file.bytes for file in created.manifest.files)
    if as_json:
        output.print_json(
            {
                "name": created.manifest.name,
                "path": str(created.path),
                "url": created.url,
                "parts": created.manifest.parts,
                "bytes": size,
                "pruned": created.pruned,
            }
        )
        return
    parts_line = ", ".join(created.manifest.parts)
    output.print_line(f"backed up {parts_line} ({size} bytes) to {created.path}")
    if created.url:
        output.print_line(f"copied to {created.url}")
    for name in created.pruned:
        output.print_line(f"removed {name}")


def restore(
    name: Annotated[
        str,
        typer.Argument(metavar="BACKUP", help="A directory, a name, `latest`, or s3://bucket/prefix/name."),
    ],
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Only verify the backup; nothing is changed.")
    ] = False,
    only: Annotated[str, typer.Option(help="The part to restore: redis, keys or streams.")] = "",
    to: Annotated[
        Path | None, typer.Option(help="The directory of the Redis server, or for the keys.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace what the target has; files are moved aside.")
    ] = False,
) -> None:
    """Verify a backup, or restore one part of it."""
    from artcafe_common.backup.settings import BackupSettings
    from artcafe_common.settings import load

    if check == bool(only):
        raise Failure("say --check, or --only with the part to restore", ExitCode.USAGE)
    if only:
        _check_parts([only])
    for line in _run(_restore(load(BackupSettings), name, only, to, replace=replace)):
        output.print_line(line)


async def _restore(settings: Any, name: str, only: str, to: Path | None, *, replace: bool) -> list[str]:
    from artcafe_common.backup.manifest import Part
    from artcafe_common.backup.restore import open_backup, restore_part
    from artcafe_common.backup.verify import verify_backup

    async with open_backup(settings, name) as path:
        if only:
            return await restore_part(settings, path, Part(only), to, replace=replace)
        verified = await verify_backup(settings, path)
        return [*verified.findings, f"the backup {verified.manifest.name} is complete and sound"]


def _check_parts(only: list[str] | None) -> list[str]:
    for part in only or ():
        if part not in PARTS:
            raise Failure(f"{part} is not a part; the parts are {', '.join(PARTS)}", ExitCode.USAGE)
    return only or list(PARTS)


def _run(work: Coroutine[Any, Any, T]) -> T:
    from artcafe_common.backup.errors import BackupFailed
    from artcafe_common.cli.operator_bus import log_errors_only

    log_errors_only()
    try:
        return asyncio.run(work)
    except BackupFailed as error:
        raise Failure(str(error), ExitCode.UNAVAILABLE if error.unavailable else ExitCode.FAILED) from None
