"""Backups on disk: what is damaged, incomplete or of another installation is never taken for a backup."""

import json
import shutil
from datetime import UTC, datetime, timedelta

import msgspec
import pyrage
import pytest

from artcafe_common.backup import directory, key_archive
from artcafe_common.backup.create import create_backup
from artcafe_common.backup.errors import BackupFailed
from artcafe_common.backup.manifest import FILE_NAME, Manifest, Part, RedisBackup, describe, read_manifest
from artcafe_common.backup.redis_snapshot import restore_files
from artcafe_common.backup.restore import restore_part
from artcafe_common.backup.settings import BackupSettings
from artcafe_common.backup.verify import verify_backup
from artcafe_common.installation.bootstrap import bootstrap
from artcafe_common.installation.nats_server import NatsServerConfig

RDB = b"REDIS0011" + b"content" * 100 + b"\xff" + b"\0" * 8
NO_REDIS = "redis://127.0.0.1:1/0"


@pytest.fixture
def settings(tmp_path):
    bootstrap(tmp_path / "keys", NatsServerConfig(store=tmp_path / "nats"))
    (tmp_path / "passphrase").write_text("correct horse battery staple\n")
    return BackupSettings(
        keys_dir=tmp_path / "keys",
        backup_dir=tmp_path / "backups",
        backup_passphrase_file=str(tmp_path / "passphrase"),
        redis_url=NO_REDIS,
    )


@pytest.fixture
async def keys_backup(settings):
    return (await create_backup(settings, [Part.KEYS])).path


def store_redis_backup(settings, at, content=RDB):
    """A backup of a snapshot that was made at a time."""
    installation = json.loads((settings.keys_dir / "platform.json").read_text())["operator"]
    with directory.new_backup(settings.backup_dir, at) as (name, partial):
        (partial / "redis.rdb").write_bytes(content)
        file = describe(partial, partial / "redis.rdb")
        redis = RedisBackup(file=file, server_version="8", keys=1)
        manifest = Manifest(
            name=name, format=1, version="1", created_at=at, installation=installation, redis=redis
        )
        return directory.commit(settings.backup_dir, partial, manifest)


async def test_keys_are_decrypted_with_the_passphrase_that_encrypted_them(settings, keys_backup, tmp_path):
    assert "decrypted" in (await verify_backup(settings, keys_backup)).findings[0]
    seed = (settings.keys_dir / "operator.nk").read_bytes()
    assert seed not in (keys_backup / key_archive.FILE_NAME).read_bytes()
    (tmp_path / "passphrase").write_text("wrong")
    with pytest.raises(BackupFailed, match="cannot be decrypted"):
        await verify_backup(settings, keys_backup)


async def test_keys_for_a_recipient_need_its_private_key(settings, tmp_path):
    identity, other = (pyrage.x25519.Identity.generate() for _ in range(2))
    key = tmp_path / "identity.txt"
    host = msgspec.structs.replace(settings, backup_recipient=str(identity.to_public()))
    backup = (await create_backup(host, [Part.KEYS])).path
    # The host that makes backups cannot read them.
    assert "not decrypted" in (await verify_backup(host, backup)).findings[0]
    with pytest.raises(BackupFailed, match="ARTCAFE_BACKUP_IDENTITY_FILE"):
        await restore_part(host, backup, Part.KEYS, tmp_path / "new", replace=False)
    operator = msgspec.structs.replace(host, backup_identity_file=str(key))
    key.write_text(str(other))
    with pytest.raises(BackupFailed, match="cannot be decrypted"):
        await verify_backup(operator, backup)
    key.write_text(str(identity))
    await restore_part(operator, backup, Part.KEYS, tmp_path / "new", replace=False)
    assert {p.name: p.read_bytes() for p in (tmp_path / "new").iterdir()} == {
        p.name: p.read_bytes() for p in settings.keys_dir.iterdir()
    }


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes instead of"),
        (lambda path: path.write_bytes(b"x" + path.read_bytes()[1:]), "checksum differs"),
        (lambda path: path.unlink(), "is missing"),
    ],
)
async def test_damaged_file_is_found(settings, keys_backup, damage, reason):
    damage(keys_backup / key_archive.FILE_NAME)
    with pytest.raises(BackupFailed, match=reason):
        await verify_backup(settings, keys_backup)


@pytest.mark.parametrize("content", [b"", b"REDIS0011", RDB[:-20], b"HTML" + RDB])
async def test_incomplete_snapshot_of_redis_is_found(settings, content):
    backup = store_redis_backup(settings, datetime.now(UTC), content)
    with pytest.raises(BackupFailed, match="not a complete snapshot"):
        await verify_backup(settings, backup)


async def test_backup_without_a_manifest_is_none(settings, keys_backup):
    (keys_backup / FILE_NAME).unlink()
    with pytest.raises(BackupFailed, match="not a complete backup"):
        await verify_backup(settings, keys_backup)
    with pytest.raises(BackupFailed, match="no backup in"):
        directory.find_backup(settings.backup_dir, "latest")


async def test_backup_of_another_installation_is_refused(settings, keys_backup, tmp_path):
    shutil.rmtree(settings.keys_dir)
    bootstrap(settings.keys_dir, NatsServerConfig(store=tmp_path / "nats"))
    with pytest.raises(BackupFailed, match="another installation"):
        await verify_backup(settings, keys_backup)


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd"])
def test_manifest_names_no_file_outside_of_the_backup(settings, path):
    backup = store_redis_backup(settings, datetime.now(UTC))
    text = (backup / FILE_NAME).read_text()
    (backup / FILE_NAME).write_text(text.replace("redis.rdb", path))
    with pytest.raises(BackupFailed, match="outside of the backup"):
        read_manifest(backup)


def test_manifest_of_another_format_is_refused(settings):
    backup = store_redis_backup(settings, datetime.now(UTC))
    (backup / FILE_NAME).write_text('{"format": 2}')
    with pytest.raises(BackupFailed, match="format 2"):
        read_manifest(backup)


def test_pruning_removes_old_backups_only(settings):
    now = datetime(2026, 3, 10, tzinfo=UTC)
    hours = [100, 49, 47, 1]
    backups = [store_redis_backup(settings, now - timedelta(hours=age)) for age in hours]
    foreign = settings.backup_dir / "20200101T000000Z"
    foreign.mkdir()
    (foreign / FILE_NAME).write_text("{}")
    (settings.backup_dir / "notes").mkdir()
    removed = directory.prune(settings.backup_dir, keep=timedelta(hours=48), now=now)
    assert removed == [path.name for path in backups[:2]]
    kept = {path.name for path in settings.backup_dir.iterdir()}
    assert kept == {".lock", "notes", foreign.name, *(path.name for path in backups[2:])}


def test_newest_backup_is_never_removed(settings):
    now = datetime(2026, 3, 10, tzinfo=UTC)
    backup = store_redis_backup(settings, now - timedelta(days=365))
    assert directory.prune(settings.backup_dir, keep=timedelta(hours=48), now=now) == []
    assert backup.is_dir()


def test_killed_backup_leaves_nothing_that_looks_complete(settings):
    at = datetime.now(UTC)
    left = settings.backup_dir / ".20260101T000000Z.partial"
    left.mkdir(parents=True)
    (left / "redis.rdb").write_bytes(RDB)
    assert directory.list_backups(settings.backup_dir) == []
    store_redis_backup(settings, at)
    assert not left.exists()


def test_two_backups_at_once_are_refused(settings):
    with (
        directory.new_backup(settings.backup_dir, datetime.now(UTC)),
        pytest.raises(BackupFailed, match="another backup"),
        directory.new_backup(settings.backup_dir, datetime.now(UTC)),
    ):
        pass


async def test_restored_redis_files_keep_what_they_replace(tmp_path):
    snapshot, target = tmp_path / "redis.rdb", tmp_path / "data"
    snapshot.write_bytes(RDB)
    (target / "appendonlydir").mkdir(parents=True)
    (target / "redis.conf").write_text("kept")
    with pytest.raises(BackupFailed, match="--replace"):
        await restore_files(snapshot, target, NO_REDIS, replace=False)
    await restore_files(snapshot, target, NO_REDIS, replace=True)
    assert (target / "dump.rdb").read_bytes() == (target / "appendonly.aof").read_bytes() == RDB
    assert not (target / "appendonlydir").exists()
    assert (target / "redis.conf").exists()
    assert [p.name for p in next(target.glob("before-restore-*")).iterdir()] == ["appendonlydir"]
