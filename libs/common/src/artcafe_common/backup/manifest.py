"""The manifest of a backup: what it contains, with the checksum of each file."""

import hashlib
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from artcafe_common.backup.errors import BackupFailed

FORMAT = 1
FILE_NAME = "manifest.json"
_READ_BYTES = 1024 * 1024


class Part(StrEnum):
    """What a backup may contain."""

    REDIS = "redis"
    KEYS = "keys"
    STREAMS = "streams"


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the backup, by its path in the backup's directory."""

    path: str
    bytes: int
    sha256: str


class RedisBackup(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of Redis; `keys` is how many it had just before."""

    file: StoredFile
    server_version: str
    keys: int


class KeysBackup(msgspec.Struct, frozen=True, kw_only=True):
    """The encrypted keys directory; `encryption` is `recipient` or `passphrase`."""

    file: StoredFile
    encryption: str
    names: list[str]


class StreamBackup(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of one stream; `tenant_id` is empty for the platform's own account."""

    file: StoredFile
    tenant_id: str
    kind: str
    account: str
    stream: str
    config: dict[str, Any]
    state: dict[str, Any]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A complete backup; a part that is None was not backed up.

    `installation` is the operator's public key, which names the installation.
    """

    name: str
    format: int
    version: str
    created_at: datetime
    installation: str
    redis: RedisBackup | None = None
    keys: KeysBackup | None = None
    streams: list[StreamBackup] | None = None

    @property
    def files(self) -> list[StoredFile]:
        """Every file of the backup but the manifest."""
        single = [part.file for part in (self.redis, self.keys) if part is not None]
        return [*single, *(stream.file for stream in self.streams or ())]

    @property
    def parts(self) -> list[Part]:
        """The parts that were backed up."""
        present = {Part.REDIS: self.redis, Part.KEYS: self.keys, Part.STREAMS: self.streams}
        return [part for part, content in present.items() if content is not None]


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a backup. Raises BackupFailed if there is none, or none of this format."""
    path = directory / FILE_NAME
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise BackupFailed(f"{directory} is not a complete backup: it has no {FILE_NAME}") from None
    try:
        version = msgspec.json.decode(raw, type=_Format).format
        if version != FORMAT:
            raise BackupFailed(f"{path} has format {version}; this release reads format {FORMAT}")
        manifest = msgspec.json.decode(raw, type=Manifest)
    except msgspec.DecodeError as error:
        raise BackupFailed(f"{path} is damaged: {error}") from None
    for file in manifest.files:
        # The manifest is no secret and may have been edited: it names no file outside of the backup.
        if Path(file.path).is_absolute() or ".." in Path(file.path).parts:
            raise BackupFailed(f"{path} names a file outside of the backup: {file.path}")
    return manifest


class _Format(msgspec.Struct, frozen=True):
    format: int


def describe(directory: Path, path: Path) -> StoredFile:
    """The size and checksum of a file in a backup's directory."""
    size, digest = _measure(path)
    return StoredFile(path=str(path.relative_to(directory)), bytes=size, sha256=digest)


def verify_file(directory: Path, file: StoredFile) -> None:
    """Raises BackupFailed unless the file is there with its size and checksum."""
    try:
        size, digest = _measure(directory / file.path)
    except FileNotFoundError:
        raise BackupFailed(f"{directory / file.path} is missing") from None
    if size != file.bytes:
        raise BackupFailed(f"{directory / file.path} has {size} bytes instead of {file.bytes}")
    if digest != file.sha256:
        raise BackupFailed(f"{directory / file.path} was changed: its checksum differs")


def _measure(path: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()
