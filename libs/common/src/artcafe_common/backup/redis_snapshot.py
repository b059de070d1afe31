"""Snapshots of Redis over its replication protocol, as `redis-cli --rdb` makes them, and their restoration.

The server forks and sends the state of one moment (`SYNC`); it works with Redis 6 and later and with Valkey, on any
host. A managed Redis may refuse the command: use its own snapshots there.
"""

import asyncio
import ssl
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from artcafe_common.backup.errors import BackupFailed
from artcafe_common.backup.restored_files import require_empty, set_aside, write_as_owner_of
from artcafe_common.storage.redis_pool import find_primary
from artcafe_common.tls import create_tls

FILE_NAME = "redis.rdb"
CONNECT_TIMEOUT_S = 5
# The server may fork for this long before it sends the first byte, and pause between two blocks.
IDLE_TIMEOUT_S = 120
# The append-only file in the form of one file; Redis 7 and Valkey convert it when they start.
_RESTORED_NAMES = ("dump.rdb", "appendonly.aof")
_OWN_NAMES = ("dump.rdb", "appendonly.aof", "appendonlydir")
_BLOCK_BYTES = 256 * 1024
_MAX_LINE = 1024
_MAGIC = (b"REDIS", b"VALKEY")
# The end of the file: an operation code, and a checksum of 8 bytes.
_END, _CHECKSUM_BYTES = 0xFF, 8


class RedisInfo:
    """The version of a server and its number of keys."""

    def __init__(self, version: str, keys: int) -> None:
        self.version = version
        self.keys = keys


async def save_snapshot(url: str, path: Path, ca_file: Path | None = None) -> RedisInfo:
    """Write a snapshot of the Redis at `url` to a file. Raises BackupFailed."""
    try:
        async with _Connection(await find_primary(url, ca_file), ca_file) as redis:
            info = _parse_info(await redis.bulk("INFO"))
            keys = await redis.integer("DBSIZE")
            await redis.copy_snapshot(path)
    except (OSError, EOFError, TimeoutError, ValueError, ssl.SSLError) as error:
        raise BackupFailed(
            f"Redis at {_without_password(url)} sent no snapshot: {error or type(error).__name__}",
            unavailable=True,
        ) from None
    verify_snapshot(path)
    return RedisInfo(info.get("valkey_version") or info.get("redis_version", ""), keys)


def verify_snapshot(path: Path) -> None:
    """Raises BackupFailed unless the file is a complete snapshot."""
    size = path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(max(map(len, _MAGIC)))
        file.seek(max(0, size - _CHECKSUM_BYTES - 1))
        end = file.read(1)
    if not magic.startswith(_MAGIC) or end != bytes([_END]):
        raise BackupFailed(f"{path} is not a complete snapshot of Redis")


async def restore_files(
    snapshot: Path, target: Path, url: str, *, replace: bool, ca_file: Path | None = None
) -> None:
    """Put a snapshot into the directory of a Redis server that is not running. Raises BackupFailed."""
    if await _answers(url, ca_file):
        raise BackupFailed(
            f"a Redis answers at {_without_password(url)}: stop it, or it overwrites what is restored"
        )
    require_empty(target, _OWN_NAMES, replace=replace)
    set_aside(target, _OWN_NAMES)
    # Redis reads the append-only file if it is configured, and the snapshot if not.
    for name in _RESTORED_NAMES:
        write_as_owner_of(target, name, snapshot)


async def _answers(url: str, ca_file: Path | None) -> bool:
    try:
        async with _Connection(await find_primary(url, ca_file), ca_file):
            return True
    except ValueError:
        # It refuses the login, or is still loading: it is there.
        return True
    except (OSError, EOFError, TimeoutError):
        return False


class _Connection:
    """A connection that speaks RESP without a client library's buffers, so that memory stays bounded."""

    def __init__(self, url: str, ca_file: Path | None) -> None:
        self._url = urlsplit(url)
        self._tls = (create_tls(ca_file) or True) if self._url.scheme == "rediss" else None
        if self._url.scheme not in ("redis", "rediss") or not self._url.hostname:
            raise BackupFailed("REDIS_URL must be redis:// or rediss:// with a host")

    async def __aenter__(self) -> Self:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            self._reader, self._writer = await asyncio.open_connection(
                self._url.hostname, self._url.port or 6379, ssl=self._tls
            )
            try:
                if self._url.password:
                    user = [unquote(self._url.username)] if self._url.username else []
                    await self._line("AUTH", *user, unquote(self._url.password))
                await self._line("PING")
            except BaseException:
                self._writer.transport.abort()
                raise
        return self

    async def __aexit__(self, *_: object) -> None:
        # Also ends the stream of changes that follows a snapshot.
        self._writer.transport.abort()

    async def bulk(self, *words: str) -> str:
        """The text that a command returns."""
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            length = int((await self._line(*words)).removeprefix("$"))
            return (await self._reader.readexactly(length + 2)).decode(errors="replace")

    async def integer(self, *words: str) -> int:
        """The number that a command returns."""
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return int((await self._line(*words)).removeprefix(":"))

    async def copy_snapshot(self, path: Path) -> None:
        """Write the server's snapshot to a file."""
        async with asyncio.timeout(IDLE_TIMEOUT_S):
            header = await self._line("SYNC")
        left = int(header.removeprefix("$"))
        with path.open("wb") as file:
            while left:
                async with asyncio.timeout(IDLE_TIMEOUT_S):
                    block = await self._reader.read(min(left, _BLOCK_BYTES))
                if not block:
                    raise EOFError("the connection ended before the snapshot")
                left -= len(block)
                await asyncio.to_thread(file.write, block)

    async def _line(self, *words: str) -> str:
        """Send a command; returns the first line of the reply. Raises ValueError for an error."""
        parts = [word.encode() for word in words]
        self._writer.write(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts))
        await self._writer.drain()
        line = b"\n"
        while line == b"\n":
            # Sent while the server prepares a snapshot.
            line = await self._reader.readline()
        if not line:
            raise EOFError("the connection ended")
        text = line[:_MAX_LINE].decode(errors="replace").strip()
        if text.startswith("-"):
            raise ValueError(text[1:])
        return text


def _parse_info(text: str) -> dict[str, str]:
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: value.strip() for name, value in pairs}


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
