"""The directory of backups: a backup is there with its manifest, or not at all."""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from artcafe_common.backup.errors import BackupFailed
from artcafe_common.backup.manifest import FILE_NAME, Manifest, read_manifest

LATEST = "latest"
_NAME = re.compile(r"\d{8}T\d{6}Z")
_TIME_FORMAT = "%Y%m%dT%H%M%SZ"
_PARTIAL = re.compile(r"\.\d{8}T\d{6}Z\.partial")


@contextmanager
def new_backup(root: Path, at: datetime) -> Iterator[tuple[str, Path]]:
    """The name and the temporary directory of a new backup, which is removed unless `commit` completes it.

    Raises BackupFailed while another backup is being made in the directory.
    """
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (root / ".lock").open("w")
    except OSError as error:
        raise BackupFailed(f"cannot write to {root}: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BackupFailed(f"another backup is being made in {root}") from None
        # This process has the lock, so a partial backup here was left by a process that was killed.
        for left in root.iterdir():
            if _PARTIAL.fullmatch(left.name):
                shutil.rmtree(left, ignore_errors=True)
        name = at.astimezone(UTC).strftime(_TIME_FORMAT)
        while (root / name).exists():
            time.sleep(0.1)
            name = datetime.now(UTC).strftime(_TIME_FORMAT)
        partial = root / f".{name}.partial"
        partial.mkdir(mode=0o700)
        try:
            yield name, partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def commit(root: Path, partial: Path, manifest: Manifest) -> Path:
    """Write the manifest and give the backup its name: from here on it is complete."""
    for path in sorted(partial.rglob("*")):
        _sync(path)
    (partial / FILE_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    _sync(partial / FILE_NAME)
    _sync(partial)
    final = root / manifest.name
    partial.rename(final)
    _sync(root)
    return final


def list_backups(root: Path) -> list[Path]:
    """The complete backups in a directory, oldest first."""
    if not root.is_dir():
        return []
    return sorted(
        path for path in root.iterdir() if _NAME.fullmatch(path.name) and (path / FILE_NAME).is_file()
    )


def find_backup(root: Path, name: str) -> Path:
    """The directory of a backup, by path, by name or as `latest`. Raises BackupFailed if it does not exist."""
    if name == LATEST:
        backups = list_backups(root)
        if not backups:
            raise BackupFailed(f"there is no backup in {root}")
        return backups[-1]
    for path in (root / name, Path(name)):
        if path.is_dir():
            return path
    raise BackupFailed(f"there is no backup {name}, neither in {root} nor as a directory")


def prune(root: Path, *, keep: timedelta, now: datetime) -> list[str]:
    """Remove complete backups that are older than `keep`, but never the newest; returns their names.

    A directory that only looks like a backup is left alone.
    """
    removed = []
    for path in list_backups(root)[:-1]:
        with suppress(BackupFailed):
            manifest = read_manifest(path)
            if manifest.name == path.name and now - manifest.created_at > keep:
                # The manifest goes first, so that what is left of an interrupted removal is no backup.
                (path / FILE_NAME).unlink()
                shutil.rmtree(path)
                removed.append(path.name)
    return removed


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
