"""Restores the parts of a backup."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from artcafe_common.backup import bucket, directory, key_archive, redis_snapshot, streams
from artcafe_common.backup.accounts import open_stream_accounts
from artcafe_common.backup.errors import BackupFailed
from artcafe_common.backup.manifest import Part
from artcafe_common.backup.settings import BackupSettings
from artcafe_common.backup.verify import verify_backup


@asynccontextmanager
async def open_backup(settings: BackupSettings, name: str) -> AsyncIterator[Path]:
    """The directory of a backup: by path, name, `latest`, or downloaded from `s3://bucket/…`."""
    if not name.startswith(bucket.SCHEME):
        yield directory.find_backup(settings.backup_dir, name)
        return
    with tempfile.TemporaryDirectory(prefix="artcafe-restore-") as temporary:
        path = Path(temporary)
        bucket.download(settings, name, path)
        yield path


async def restore_part(
    settings: BackupSettings, path: Path, part: Part, target: Path | None, *, replace: bool
) -> list[str]:
    """Verify the backup and restore one part of it; returns what was done. Raises BackupFailed.

    `target` is Redis' directory, or the keys directory (by default the one of the settings).
    """
    if part is Part.KEYS and not (target or settings.keys_dir).is_dir():
        # Only then is there nothing to compare the backup with.
        settings = msgspec.structs.replace(settings, keys_dir=target or settings.keys_dir)
    manifest = (await verify_backup(settings, path)).manifest
    if part not in manifest.parts:
        raise BackupFailed(f"the backup {manifest.name} has no part {part}")
    if manifest.redis is not None and part is Part.REDIS:
        if target is None:
            raise BackupFailed("name the directory of the Redis server with --to")
        await redis_snapshot.restore_files(
            path / manifest.redis.file.path,
            target,
            settings.redis_url,
            replace=replace,
            ca_file=settings.ca_file,
        )
        return [f"restored Redis' files in {target}: start the server"]
    if manifest.keys is not None and part is Part.KEYS:
        target = target or settings.keys_dir
        files = key_archive.decrypt_archive(
            path / manifest.keys.file.path, settings, manifest.keys.encryption
        )
        key_archive.restore_keys(files, target, replace=replace)
        return [f"restored {len(files)} files in {target}"]
    async with open_stream_accounts(settings) as accounts:
        result = await streams.restore_streams(accounts, path, manifest.streams or [], replace=replace)
    done = [f"restored {label}" for label in result.restored] + [f"kept {label}" for label in result.kept]
    if result.refused:
        raise BackupFailed(
            f"restored {len(result.restored)} streams, but {', '.join(result.refused)} already "
            f"{'has' if len(result.refused) == 1 else 'have'} messages; with --replace, those are deleted"
        )
    return done
