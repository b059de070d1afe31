"""Saves and restores JetStream streams, with their messages, sequence numbers, times and consumers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client as Nats
from nats.js.errors import APIError

from artcafe_common.backup.accounts import PLATFORM_KIND, StreamAccounts
from artcafe_common.backup.errors import BackupFailed
from artcafe_common.backup.manifest import StreamBackup, describe
from artcafe_common.broker.stream_snapshots import (
    CHUNK_BYTES,
    StreamSnapshot,
    StreamState,
    open_snapshot,
    restore_snapshot,
)
from artcafe_common.bus.events_stream import EVENTS_STREAM
from artcafe_common.contracts.identity.accounts import AccountMissing
from artcafe_common.contracts.identity.stream_accounts import StreamAccess, StreamAccount

DIRECTORY = "streams"
API_TIMEOUT_S = 5
MAX_CONCURRENT = 4
# Identity creates missing streams of the platform, also while they are being restored.
RESTORE_ATTEMPTS = 5
# A snapshot is a tar archive in this format (https://github.com/golang/snappy/blob/master/framing_format.txt).
_MAGIC = (b"\xff\x06\x00\x00S2sTwO", b"\xff\x06\x00\x00sNaPpY")
_NAME_IN_USE = 10058
_ERRORS = (APIError, nats.errors.Error, msgspec.DecodeError, OSError, TimeoutError)


class _Listed(msgspec.Struct, frozen=True):
    config: dict[str, Any]


class _StreamList(msgspec.Struct, frozen=True):
    total: int = 0
    streams: list[_Listed] | None = None
    error: dict[str, Any] | None = None


class _Info(msgspec.Struct, frozen=True):
    state: StreamState = StreamState()
    error: dict[str, Any] | None = None


class RestoredStreams(msgspec.Struct, frozen=True, kw_only=True):
    """The streams that were restored, kept as they are, and refused because they have newer messages."""

    restored: list[str]
    kept: list[str]
    refused: list[str]


async def save_streams(accounts: StreamAccounts, directory: Path) -> list[StreamBackup]:
    """Save every stream of every account. Raises BackupFailed if one cannot be saved."""
    (directory / DIRECTORY).mkdir(mode=0o700)
    semaphore = asyncio.Semaphore(MAX_CONCURRENT)

    async def save(account: StreamAccount) -> list[StreamBackup]:
        try:
            return await save_account(account)
        except AccountMissing:
            return []  # The organization was deleted meanwhile.

    async def save_account(account: StreamAccount) -> list[StreamBackup]:
        async with semaphore, accounts.connect(account, StreamAccess.BACKUP) as nc:
            try:
                # The credentials for the platform's account permit this one stream only.
                platform = account.kind == PLATFORM_KIND
                names = [EVENTS_STREAM] if platform else await _list_streams(nc)
                saved = [await _save(nc, account, name, directory) for name in names]
            except _ERRORS as error:
                raise BackupFailed(
                    f"the streams of account {account.account} cannot be saved: {_reason(error)}",
                    unavailable=True,
                ) from None
            return [stream for stream in saved if stream is not None]

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(save(account)) for account in await accounts.list_all()]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [stream for task in tasks for stream in task.result()]


async def _list_streams(nc: Nats) -> list[str]:
    names: list[str] = []
    while True:
        request = msgspec.json.encode({"offset": len(names)})
        reply = await nc.request("$JS.API.STREAM.LIST", request, timeout=API_TIMEOUT_S)
        page = msgspec.json.decode(reply.data, type=_StreamList)
        if page.error is not None:
            raise APIError(**page.error)
        found = [stream.config["name"] for stream in page.streams or ()]
        names += found
        if not found or len(names) >= page.total:
            return names


async def _save(nc: Nats, account: StreamAccount, stream: str, directory: Path) -> StreamBackup | None:
    """Save one stream; None if it was deleted meanwhile."""
    # An account's streams have distinct names, but a client may choose ones that differ in case only.
    path = directory / DIRECTORY / f"{account.account}.{stream.encode().hex()}"
    async with open_snapshot(nc, stream, consumers=True) as snapshot:
        if snapshot is None:
            return None
        with path.open("wb") as file:
            async for chunk in snapshot.chunks:
                await asyncio.to_thread(file.write, chunk)
    saved = StreamBackup(
        file=await asyncio.to_thread(describe, directory, path),
        tenant_id=account.tenant_id,
        kind=account.kind,
        account=account.account,
        stream=stream,
        config=snapshot.config,
        state=snapshot.state,
    )
    verify_stream(directory, saved)
    return saved


def verify_stream(directory: Path, stream: StreamBackup) -> None:
    """Raises BackupFailed unless the snapshot is one, and its sequence numbers are possible."""
    path = directory / stream.file.path
    with path.open("rb") as file:
        start = file.read(max(map(len, _MAGIC)))
    if not start.startswith(_MAGIC):
        raise BackupFailed(f"{path} is no snapshot of a stream")
    state = msgspec.convert(stream.state, StreamState)
    if state.messages and not state.messages <= state.last_seq - state.first_seq + 1:
        raise BackupFailed(
            f"{path} has {state.messages} messages between {state.first_seq} and {state.last_seq}"
        )


async def restore_streams(
    accounts: StreamAccounts, directory: Path, streams: Sequence[StreamBackup], *, replace: bool
) -> RestoredStreams:
    """Restore streams that are missing or empty; with `replace`, also those that have messages.

    The stream of events is kept when it has newer events, unless `replace`. Raises BackupFailed.
    """
    await accounts.push_all()
    known = {(each.tenant_id, each.kind): each for each in await accounts.list_all()}
    result = RestoredStreams(restored=[], kept=[], refused=[])
    for saved in streams:
        label = f"{saved.tenant_id or PLATFORM_KIND}/{saved.stream}"
        account = known.get((saved.tenant_id, saved.kind))
        if account is None:
            # The organization was deleted after the backup, or DynamoDB was restored to an earlier time.
            result.kept.append(f"{label} (no such organization)")
            continue
        async with accounts.connect(account, StreamAccess.RESTORE) as nc:
            try:
                restored = await _restore(nc, directory, saved, replace=replace)
            except _ERRORS as error:
                raise BackupFailed(
                    f"the stream {label} cannot be restored: {_reason(error)}", unavailable=True
                ) from None
        if restored:
            result.restored.append(label)
        elif account.kind == PLATFORM_KIND:
            result.kept.append(f"{label} (has newer events)")
        else:
            result.refused.append(label)
    return result


async def _restore(nc: Nats, directory: Path, saved: StreamBackup, *, replace: bool) -> bool:
    for attempt in range(RESTORE_ATTEMPTS):
        current = await _find_state(nc, saved.stream)
        if current is not None:
            if current.messages and not (replace or attempt):
                return False
            await nc.request(f"$JS.API.STREAM.DELETE.{saved.stream}", b"", timeout=API_TIMEOUT_S)
        snapshot = StreamSnapshot(
            config=saved.config, state=saved.state, chunks=_read_chunks(directory / saved.file.path)
        )
        try:
            await restore_snapshot(nc, saved.stream, snapshot)
        except APIError as error:
            if error.err_code != _NAME_IN_USE or attempt == RESTORE_ATTEMPTS - 1:
                raise
        else:
            return True
    return False


async def _find_state(nc: Nats, stream: str) -> StreamState | None:
    reply = await nc.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=API_TIMEOUT_S)
    info = msgspec.json.decode(reply.data, type=_Info)
    if info.error is None:
        return info.state
    if info.error.get("code") == 404:  # noqa: PLR2004 - an HTTP status
        return None
    raise APIError(**info.error)


async def _read_chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk


def _reason(error: Exception) -> str:
    return (error.description if isinstance(error, APIError) else str(error)) or type(error).__name__
