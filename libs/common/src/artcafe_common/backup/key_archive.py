"""The keys directory as one encrypted file, in the format of age (https://age-encryption.org/v1).

`age --decrypt` reads it too, without this software: the result is a tar archive.
"""

import io
import tarfile
from pathlib import Path

import pyrage

from artcafe_common.backup.errors import BackupFailed
from artcafe_common.backup.restored_files import require_empty, set_aside, write_as_owner_of
from artcafe_common.backup.settings import BackupSettings
from artcafe_common.installation.platform_keys import FILE_NAME as PLATFORM_FILE

FILE_NAME = "keys.tar.age"
MAX_FILE_BYTES = 1024 * 1024
MAX_FILES = 1000


def encrypt_directory(keys: Path, settings: BackupSettings) -> tuple[bytes, str, list[str]]:
    """The encrypted archive, `recipient` or `passphrase`, and the names in it. Raises BackupFailed."""
    files = read_directory(keys)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o600
            archive.addfile(entry, io.BytesIO(content))
    plain, names = buffer.getvalue(), sorted(files)
    if settings.backup_recipient:
        try:
            recipient = pyrage.x25519.Recipient.from_str(settings.backup_recipient)
        except pyrage.RecipientError:
            raise BackupFailed("ARTCAFE_BACKUP_RECIPIENT is not an age public key (age1…)") from None
        return pyrage.encrypt(plain, [recipient]), "recipient", names
    if settings.backup_passphrase_file:
        return pyrage.passphrase.encrypt(plain, _passphrase(settings)), "passphrase", names
    raise BackupFailed(
        "the keys directory is only saved encrypted: set ARTCAFE_BACKUP_RECIPIENT or "
        "ARTCAFE_BACKUP_PASSPHRASE_FILE, or name the other parts with --only"
    )


def read_directory(keys: Path) -> dict[str, bytes]:
    """The files of a keys directory. Raises BackupFailed if it is not the complete one of an installation."""
    if not (keys / PLATFORM_FILE).is_file():
        raise BackupFailed(f"ARTCAFE_KEYS_DIR: {keys} has no {PLATFORM_FILE}")
    paths = sorted(path for path in keys.iterdir() if path.is_file() and not path.name.startswith("."))
    if len(paths) > MAX_FILES or any(path.stat().st_size > MAX_FILE_BYTES for path in paths):
        raise BackupFailed(f"ARTCAFE_KEYS_DIR: {keys} has files that are no keys")
    try:
        return {path.name: path.read_bytes() for path in paths}
    except OSError as error:
        raise BackupFailed(f"ARTCAFE_KEYS_DIR: cannot read {error.filename}: {error.strerror}") from None


def can_decrypt(settings: BackupSettings, encryption: str) -> bool:
    """Whether the settings have what decrypts such an archive."""
    return bool(
        settings.backup_identity_file if encryption == "recipient" else settings.backup_passphrase_file
    )


def decrypt_archive(path: Path, settings: BackupSettings, encryption: str) -> dict[str, bytes]:
    """The files of an archive. Raises BackupFailed."""
    if not can_decrypt(settings, encryption):
        variable = (
            "ARTCAFE_BACKUP_IDENTITY_FILE" if encryption == "recipient" else "ARTCAFE_BACKUP_PASSPHRASE_FILE"
        )
        raise BackupFailed(f"set {variable} to decrypt {path}")
    try:
        if encryption == "recipient":
            plain = pyrage.decrypt(path.read_bytes(), [_identity(settings)])
        else:
            plain = pyrage.passphrase.decrypt(path.read_bytes(), _passphrase(settings))
    except pyrage.DecryptError:
        raise BackupFailed(f"{path} cannot be decrypted: another key, or a damaged file") from None
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
            for entry in archive:
                content = archive.extractfile(entry)
                if content is None or Path(entry.name).name != entry.name:
                    raise BackupFailed(f"{path} contains {entry.name}, which is no key file")
                files[entry.name] = content.read()
    except tarfile.TarError:
        raise BackupFailed(f"{path} is no archive of keys") from None
    if PLATFORM_FILE not in files:
        raise BackupFailed(f"{path} has no {PLATFORM_FILE}")
    return files


def restore_keys(files: dict[str, bytes], target: Path, *, replace: bool) -> None:
    """Write the files into a keys directory; with `replace`, those that are there are moved aside first."""
    present = sorted(path.name for path in target.iterdir() if path.is_file()) if target.is_dir() else []
    require_empty(target, present, replace=replace)
    set_aside(target, present)
    # Last: its presence means that the directory is complete.
    for name in sorted(files, key=lambda each: each == PLATFORM_FILE):
        write_as_owner_of(target, name, files[name])


def _identity(settings: BackupSettings) -> "pyrage.x25519.Identity":
    lines = _read(settings.backup_identity_file, "ARTCAFE_BACKUP_IDENTITY_FILE").splitlines()
    keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    try:
        return pyrage.x25519.Identity.from_str(keys[0])
    except (pyrage.IdentityError, IndexError):
        raise BackupFailed("ARTCAFE_BACKUP_IDENTITY_FILE has no age private key") from None


def _passphrase(settings: BackupSettings) -> str:
    passphrase = _read(settings.backup_passphrase_file, "ARTCAFE_BACKUP_PASSPHRASE_FILE").strip()
    if not passphrase:
        raise BackupFailed("ARTCAFE_BACKUP_PASSPHRASE_FILE is empty")
    return passphrase


def _read(path: str, variable: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BackupFailed(f"{variable}: cannot read {path}: {error}") from None
