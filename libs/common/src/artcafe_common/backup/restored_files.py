"""Puts restored files into a directory, and keeps what they replace."""

import os
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from artcafe_common.backup.errors import BackupFailed


def require_empty(target: Path, names: Iterable[str], *, replace: bool) -> None:
    """Raises BackupFailed if one of the names exists in the directory, unless `replace`."""
    found = sorted(name for name in names if (target / name).exists())
    if found and not replace:
        raise BackupFailed(f"{target} contains {', '.join(found)}; with --replace, that is moved aside")


def set_aside(target: Path, names: Iterable[str]) -> None:
    """Create the directory, and move what it has under these names into a directory in it."""
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = target / f"before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
    for name in names:
        if (target / name).exists():
            aside.mkdir(exist_ok=True, mode=0o700)
            (target / name).rename(aside / name)


def write_as_owner_of(target: Path, name: str, content: Path | bytes) -> None:
    """Write a file of mode 0600 that belongs to the owner of the directory, completely or not at all."""
    partial = target / f".{name}.partial"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if isinstance(content, Path):
            with content.open("rb") as source:
                shutil.copyfileobj(source, file)
        else:
            file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if os.geteuid() == 0:
        owner = target.stat()
        os.chown(partial, owner.st_uid, owner.st_gid)
    partial.rename(target / name)
