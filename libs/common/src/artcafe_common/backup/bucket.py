"""Copies of backups in an S3 bucket: the manifest is the last object of a backup that is written."""

from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from artcafe_common.backup.errors import BackupFailed
from artcafe_common.backup.manifest import FILE_NAME, Manifest, read_manifest
from artcafe_common.backup.settings import BackupSettings

SCHEME = "s3://"
TIMEOUT_S = 30


def upload(settings: BackupSettings, directory: Path, manifest: Manifest) -> str:
    """Copy a complete backup to the bucket; returns its URL. Raises BackupFailed."""
    prefix = f"{settings.backup_prefix}/{manifest.name}"
    names = [*(file.path for file in manifest.files), FILE_NAME]
    client = _client(settings)
    try:
        for name in names:
            client.upload_file(str(directory / name), settings.backup_bucket, f"{prefix}/{name}")
    except (BotoCoreError, ClientError, boto3.exceptions.Boto3Error, OSError) as error:
        raise BackupFailed(
            f"the backup {manifest.name} is complete in {directory.parent}, but not in the bucket "
            f"{settings.backup_bucket}: {error}",
            unavailable=True,
        ) from None
    return f"{SCHEME}{settings.backup_bucket}/{prefix}"


def download(settings: BackupSettings, url: str, directory: Path) -> Manifest:
    """Copy a backup from a bucket into a directory. Raises BackupFailed."""
    bucket, _, prefix = url.removeprefix(SCHEME).strip("/").partition("/")
    client = _client(settings)
    try:
        client.download_file(bucket, f"{prefix}/{FILE_NAME}", str(directory / FILE_NAME))
        manifest = read_manifest(directory)
        for file in manifest.files:
            target = directory / file.path
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            client.download_file(bucket, f"{prefix}/{file.path}", str(target))
    except (BotoCoreError, ClientError, boto3.exceptions.Boto3Error, OSError) as error:
        raise BackupFailed(f"cannot read the backup {url}: {error}", unavailable=True) from None
    return manifest


def _client(settings: BackupSettings) -> Any:
    config = Config(connect_timeout=5, read_timeout=TIMEOUT_S, retries={"total_max_attempts": 3})
    return boto3.client("s3", region_name=settings.aws_region, config=config)
