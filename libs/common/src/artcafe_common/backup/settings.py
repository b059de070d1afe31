"""The settings of backups, read from environment variables."""

from pathlib import Path
from typing import Annotated

from artcafe_common.settings import StoreSettings, env


class BackupSettings(StoreSettings, frozen=True, kw_only=True):
    """Environment variables of `artcafe backup` and `artcafe restore`."""

    redis_url: Annotated[str, env("The Redis that is backed up.", name="REDIS_URL")] = (
        "redis://127.0.0.1:6379/0"
    )
    backup_dir: Annotated[Path, env("The directory of the backups.")] = Path("/var/backups/artcafe")
    backup_keep_hours: Annotated[
        float, env("How long backups are kept in the directory.", unit="hours", ge=1)
    ] = 48
    backup_bucket: Annotated[str, env("The S3 bucket that backups are also copied to.")] = ""
    backup_prefix: Annotated[str, env("The prefix of the objects in the bucket.")] = "backups"
    backup_recipient: Annotated[
        str, env("The age public key (`age1…`) that the backup of the keys directory is encrypted for.")
    ] = ""
    backup_identity_file: Annotated[
        str, env("The file with the age private key that decrypts it; keep it on another host.")
    ] = ""
    backup_passphrase_file: Annotated[
        str, env("The file with the passphrase that encrypts and decrypts it, instead of a key.")
    ] = ""
