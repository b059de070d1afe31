"""Replaces the secrets of an installation while its services run (docs/operate/keys.md)."""

import secrets
import time
from enum import StrEnum
from pathlib import Path

import msgspec

from artcafe_common.installation.private_files import replace_private
from artcafe_common.key_ring import MAX_KEYS, TimedKey, parse_keys
from artcafe_common.settings import SECRET_BYTES, read_key

HOUR_S = 3600


class Secret(StrEnum):
    """The secrets that can be replaced."""

    CURSORS = "cursors"
    IDEMPOTENCY = "idempotency"
    AGENT_TOKENS = "agent-tokens"
    SEALING = "sealing"


_FILES = {
    Secret.CURSORS: "cursor.key",
    Secret.IDEMPOTENCY: "answers.key",
    Secret.AGENT_TOKENS: "agent-token.key",
    Secret.SEALING: "sealing.key",
}
# How long the old key is accepted: as long as what was made with it is valid. None: until all is made again.
OVERLAPS_S: dict[Secret, int | None] = {
    Secret.CURSORS: 24 * HOUR_S,
    Secret.IDEMPOTENCY: 25 * HOUR_S,
    Secret.AGENT_TOKENS: 2 * HOUR_S,
    Secret.SEALING: None,
}
# Stored messages are verified with the key of their time, so these are never removed.
_KEPT = {Secret.CURSORS}


class RotationInProgress(Exception):
    """The newest key is not used yet."""


class Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """When the new key begins to be used and the old one is accepted no more, in Unix seconds; 0: not by itself."""

    file: str
    starts_at: int
    ends_at: int


def begin(directory: Path, secret: Secret, *, start_in_s: int, overlap_s: int | None) -> Rotation:
    """Add a new key that is used from `start_in_s` on. Raises RotationInProgress, SettingsError."""
    path, now = _path(directory, secret), int(time.time())
    keys = _read(path)
    if keys[-1].valid_from > now:
        raise RotationInProgress(f"{path} has a key that is used from {_format(keys[-1].valid_from)} on")
    starts_at = now + start_in_s
    ends_at = 0 if overlap_s is None else starts_at + overlap_s
    keys = [key for key in keys if secret in _KEPT or not key.valid_until or key.valid_until > now]
    keys[-1] = msgspec.structs.replace(keys[-1], valid_until=ends_at)
    new = TimedKey(secret=secrets.token_bytes(SECRET_BYTES), valid_from=starts_at)
    # The first one stays also beyond the limit: the ids of messages are made with it.
    _write(path, [*keys[:1], *keys[1:][-(MAX_KEYS - 2) :], new])
    return Rotation(file=path.name, starts_at=starts_at, ends_at=ends_at)


def pending_seal(directory: Path) -> Rotation | None:
    """The rotation of the sealing key that an earlier command did not finish."""
    path = _path(directory, Secret.SEALING)
    keys = _read(path)
    if len(keys) == 1:
        return None
    return Rotation(file=path.name, starts_at=keys[-1].valid_from, ends_at=0)


def finish_seal(directory: Path) -> None:
    """Remove the old sealing keys, with which nothing is encrypted any more."""
    path = _path(directory, Secret.SEALING)
    _write(path, _read(path)[-1:])


def _path(directory: Path, secret: Secret) -> Path:
    return directory / _FILES[secret]


def _read(path: Path) -> list[TimedKey]:
    return parse_keys(read_key(path), path)


def _write(path: Path, keys: list[TimedKey]) -> None:
    replace_private(path, "\n".join(key.render() for key in keys))


def _format(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
