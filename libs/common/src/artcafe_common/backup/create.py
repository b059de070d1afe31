"""Makes a backup."""

import asyncio
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path

import msgspec

from artcafe_common import __version__, clock
from artcafe_common.backup import bucket, directory, key_archive, redis_snapshot, streams
from artcafe_common.backup.accounts import open_stream_accounts
from artcafe_common.backup.errors import BackupFailed
from artcafe_common.backup.manifest import FORMAT, KeysBackup, Manifest, Part, RedisBackup, describe
from artcafe_common.backup.settings import BackupSettings
from artcafe_common.installation.platform_keys import load_platform_keys
from artcafe_common.settings import SettingsError


class CreatedBackup(msgspec.Struct, frozen=True, kw_only=True):
    """A complete backup, where else it is, and the older ones that were removed."""

    path: Path
    manifest: Manifest
    url: str
    pruned: list[str]


async def create_backup(settings: BackupSettings, parts: Collection[Part]) -> CreatedBackup:
    """Make a backup of these parts; it is complete or does not exist. Raises BackupFailed."""
    try:
        installation = load_platform_keys(settings.keys_dir).operator
    except SettingsError as error:
        raise BackupFailed(str(error)) from None
    root, at = settings.backup_dir, clock.now()
    with directory.new_backup(root, at) as (name, partial):
        # The keys first: their settings may be wrong, and they change least.
        keys = _save_keys(settings, partial) if Part.KEYS in parts else None
        redis = await _save_redis(settings, partial) if Part.REDIS in parts else None
        saved = None
        if Part.STREAMS in parts:
            async with open_stream_accounts(settings) as accounts:
                saved = await streams.save_streams(accounts, partial)
        manifest = Manifest(
            name=name,
            format=FORMAT,
            version=__version__,
            created_at=at,
            installation=installation,
            redis=redis,
            keys=keys,
            streams=saved,
        )
        path = directory.commit(root, partial, manifest)
        pruned = directory.prune(root, keep=timedelta(hours=settings.backup_keep_hours), now=at)
    url = await asyncio.to_thread(bucket.upload, settings, path, manifest) if settings.backup_bucket else ""
    return CreatedBackup(path=path, manifest=manifest, url=url, pruned=pruned)


def _save_keys(settings: BackupSettings, partial: Path) -> KeysBackup:
    encrypted, encryption, names = key_archive.encrypt_directory(settings.keys_dir, settings)
    path = partial / key_archive.FILE_NAME
    path.write_bytes(encrypted)
    return KeysBackup(file=describe(partial, path), encryption=encryption, names=names)


async def _save_redis(settings: BackupSettings, partial: Path) -> RedisBackup:
    path = partial / redis_snapshot.FILE_NAME
    info = await redis_snapshot.save_snapshot(settings.redis_url, path, settings.ca_file)
    return RedisBackup(
        file=await asyncio.to_thread(describe, partial, path), server_version=info.version, keys=info.keys
    )
