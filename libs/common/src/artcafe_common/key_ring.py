"""Secrets that can be replaced while services run: a file of keys, each with the time in which it is used.

    <64 hexadecimal digits> [from=<Unix seconds>] [until=<Unix seconds>]

The last key whose time has begun is the one that is used; every key of the file is accepted until its end. So one new
file with a later `from` is enough: every instance accepts the new key before the first one uses it.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import msgspec
import structlog

from artcafe_common.settings import SECRET_BYTES, SettingsError, read_key

# How often a service looks for a new file; a rotation leaves several times as long before the new key is used.
REFRESH_INTERVAL_S = 2.0
MAX_KEYS = 100
log = structlog.get_logger()


class TimedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A secret, used from a time on and accepted until another (Unix seconds; 0: for ever)."""

    secret: bytes
    valid_from: int = 0
    valid_until: int = 0

    def render(self) -> str:
        """The line of the file."""
        times = (("from", self.valid_from), ("until", self.valid_until))
        return " ".join([self.secret.hex(), *(f"{name}={value}" for name, value in times if value)])


class KeyRing:
    """The keys of one file, or of none."""

    def __init__(self, keys: Sequence[TimedKey], path: Path | None = None) -> None:
        self._path = path
        self._text = ""
        self._derived: list[tuple[KeyRing, Callable[[bytes], bytes]]] = []
        self.replace(list(keys))

    @classmethod
    def of(cls, secret: bytes) -> Self:
        """A ring with one key."""
        return cls([TimedKey(secret=secret)])

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a file of keys. Raises SettingsError."""
        text = read_key(path)
        ring = cls(parse_keys(text, path), path)
        ring._text = text
        return ring

    def derive(self, function: Callable[[bytes], bytes]) -> "KeyRing":
        """A ring of the keys that a function derives from these, with the same times; it follows this one."""
        ring = KeyRing(_derive(self._keys, function))
        self._derived.append((ring, function))
        return ring

    @property
    def keys(self) -> list[TimedKey]:
        """Every key of the file, in its order."""
        return self._keys

    @property
    def current(self) -> bytes:
        """The key to use now."""
        now = time.time()
        return next(
            (key.secret for key in reversed(self._keys) if key.valid_from <= now), self._keys[0].secret
        )

    @property
    def accepted(self) -> list[bytes]:
        """The keys to accept now, the one to use first."""
        if len(self._keys) == 1:
            return [self._keys[0].secret]
        now, current = time.time(), self.current
        others = [
            key.secret
            for key in self._keys
            if key.secret != current and (not key.valid_until or now < key.valid_until)
        ]
        return [current, *others]

    async def refresh(self) -> None:
        """Read the file again; keeps the keys if it cannot be read."""
        if self._path is None:
            return
        try:
            text = read_key(self._path)
            if text == self._text:
                return
            keys = parse_keys(text, self._path)
        except SettingsError as error:
            log.warning("keys_not_refreshed", reason=str(error))
            return
        self._text = text
        self.replace(keys)
        log.info("keys_refreshed", file=self._path.name, keys=len(keys))

    def replace(self, keys: list[TimedKey]) -> None:
        """Use these keys from now on."""
        self._keys = keys
        for ring, function in self._derived:
            ring.replace(_derive(keys, function))


def _derive(keys: list[TimedKey], function: Callable[[bytes], bytes]) -> list[TimedKey]:
    return [msgspec.structs.replace(key, secret=function(key.secret)) for key in keys]


async def refresh_all(*rings: KeyRing) -> None:
    """Read the files of all rings again."""
    for ring in rings:
        await ring.refresh()


def parse_keys(text: str, path: Path) -> list[TimedKey]:
    """The keys in the text of a file. Raises SettingsError."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    try:
        keys = [_parse_line(words) for words in lines]
    except ValueError:
        keys = []
    if not 0 < len(keys) <= MAX_KEYS or any(len(key.secret) != SECRET_BYTES for key in keys):
        raise SettingsError(
            f"ARTCAFE_KEYS_DIR: {path} does not contain {2 * SECRET_BYTES} hexadecimal digits"
        )
    return keys


def _parse_line(words: list[str]) -> TimedKey:
    times = dict(word.split("=", 1) for word in words[1:])
    if not times.keys() <= {"from", "until"}:
        raise ValueError("an unknown word")
    return TimedKey(
        secret=bytes.fromhex(words[0]),
        valid_from=int(times.get("from", 0)),
        valid_until=int(times.get("until", 0)),
    )
