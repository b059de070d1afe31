"""Verifies a backup without changing anything."""

import asyncio
from pathlib import Path

import msgspec

from artcafe_common.backup.errors import BackupFailed
from artcafe_common.backup.key_archive import can_decrypt, decrypt_archive
from artcafe_common.backup.manifest import Manifest, read_manifest, verify_file
from artcafe_common.backup.redis_snapshot import verify_snapshot
from artcafe_common.backup.settings import BackupSettings
from artcafe_common.backup.streams import verify_stream
from artcafe_common.broker.stream_snapshots import StreamState
from artcafe_common.installation.platform_keys import FILE_NAME as PLATFORM_FILE
from artcafe_common.installation.platform_keys import PlatformKeys, load_platform_keys


class VerifiedBackup(msgspec.Struct, frozen=True, kw_only=True):
    """A sound backup, with what was found about each of its parts."""

    manifest: Manifest
    findings: list[str]


async def verify_backup(settings: BackupSettings, path: Path) -> VerifiedBackup:
    """Verify checksums and contents of a backup, and that it is of this installation. Raises BackupFailed.

    Where this host has no keys directory, or cannot decrypt the archive of keys, that is a finding.
    """
    manifest = read_manifest(path)
    for file in manifest.files:
        await asyncio.to_thread(verify_file, path, file)
    findings: list[str] = []
    if manifest.redis is not None:
        verify_snapshot(path / manifest.redis.file.path)
        findings.append(f"redis: {manifest.redis.keys} keys of version {manifest.redis.server_version}")
    if manifest.keys is not None:
        findings.append(_verify_keys(settings, path, manifest))
    if manifest.streams is not None:
        for stream in manifest.streams:
            verify_stream(path, stream)
        messages = sum(msgspec.convert(s.state, StreamState).messages for s in manifest.streams)
        findings.append(f"streams: {len(manifest.streams)} with {messages} messages")
    findings.append(_compare_installation(settings, manifest))
    return VerifiedBackup(manifest=manifest, findings=findings)


def _verify_keys(settings: BackupSettings, path: Path, manifest: Manifest) -> str:
    assert manifest.keys is not None  # noqa: S101 - for the type checker
    if not can_decrypt(settings, manifest.keys.encryption):
        return f"keys: {len(manifest.keys.names)} files, not decrypted: this host has no {manifest.keys.encryption}"
    files = decrypt_archive(path / manifest.keys.file.path, settings, manifest.keys.encryption)
    try:
        keys = msgspec.json.decode(files[PLATFORM_FILE], type=PlatformKeys)
    except msgspec.DecodeError:
        raise BackupFailed(f"{path / manifest.keys.file.path} has a damaged {PLATFORM_FILE}") from None
    if sorted(files) != manifest.keys.names or keys.operator != manifest.installation:
        raise BackupFailed(f"{path / manifest.keys.file.path} has other keys than the manifest says")
    return f"keys: {len(files)} files, decrypted"


def _compare_installation(settings: BackupSettings, manifest: Manifest) -> str:
    if not (settings.keys_dir / PLATFORM_FILE).exists():
        return "installation: not compared, this host has no keys directory"
    if load_platform_keys(settings.keys_dir).operator != manifest.installation:
        raise BackupFailed(f"the backup {manifest.name} is of another installation than {settings.keys_dir}")
    return "installation: the same as in the keys directory"
