"""Snapshots of JetStream streams: the broker sends a stream in chunks, and restores it from them.

A snapshot has the stream's configuration, its messages with their sequence numbers and times, and its consumers
(https://docs.nats.io/reference/reference-protocols/nats_api_reference).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.js.errors import APIError

CHUNK_BYTES = 128 * 1024
TIMEOUT_S = 5
_NOT_FOUND = 404
_END_OF_SNAPSHOT = "204"


class StreamState(msgspec.Struct, frozen=True):
    """How many messages a stream holds, and the first and last of their sequence numbers."""

    messages: int = 0
    first_seq: int = 0
    last_seq: int = 0


class StreamSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A stream's configuration and state, as the broker reports them, and its content in chunks."""

    config: dict[str, Any]
    state: dict[str, Any]
    chunks: AsyncIterator[bytes]


class _Snapshot(msgspec.Struct, frozen=True):
    config: dict[str, Any] = {}
    state: dict[str, Any] = {}
    error: dict[str, Any] | None = None


class _Restore(msgspec.Struct, frozen=True):
    deliver_subject: str = ""
    state: StreamState = StreamState()
    error: dict[str, Any] | None = None


@asynccontextmanager
async def open_snapshot(nc: Nats, stream: str, *, consumers: bool) -> AsyncIterator[StreamSnapshot | None]:
    """Begin a snapshot of a stream; None if there is no such stream.

    Raises APIError when the broker refuses, and nats.errors.Error or TimeoutError when it does not answer.
    """
    inbox = nc.new_inbox()
    subscription = await nc.subscribe(inbox)
    try:
        request = {"deliver_subject": inbox, "no_consumers": not consumers, "chunk_size": CHUNK_BYTES}
        answer = await _call(nc, f"$JS.API.STREAM.SNAPSHOT.{stream}", request, _Snapshot)

        async def chunks() -> AsyncIterator[bytes]:
            while True:
                chunk = await subscription.next_msg(timeout=TIMEOUT_S)
                if not chunk.data:
                    _require_complete(chunk)
                    return
                yield chunk.data
                if chunk.reply:
                    # The broker sends a limited number of chunks ahead of these.
                    await nc.publish(chunk.reply)

        yield (
            None
            if answer is None
            else StreamSnapshot(config=answer.config, state=answer.state, chunks=chunks())
        )
    finally:
        await subscription.unsubscribe()


async def restore_snapshot(nc: Nats, stream: str, snapshot: StreamSnapshot) -> StreamState:
    """Create a stream from a snapshot; its name must be free. Raises as `open_snapshot`."""
    restore = await _call(
        nc,
        f"$JS.API.STREAM.RESTORE.{stream}",
        {"config": snapshot.config, "state": snapshot.state},
        _Restore,
    )
    if restore is None:
        raise APIError(code=_NOT_FOUND, description="the stream cannot be restored")
    async for chunk in snapshot.chunks:
        _require_success(await nc.request(restore.deliver_subject, chunk, timeout=TIMEOUT_S))
    restored = _require_success(await nc.request(restore.deliver_subject, b"", timeout=TIMEOUT_S))
    expected = msgspec.convert(snapshot.state, StreamState)
    if not expected.messages:
        # An empty stream's first number is reported as 0 or as the one after the last.
        expected = msgspec.structs.replace(expected, first_seq=restored.state.first_seq)
    if not _has_all(restored.state, expected):
        raise APIError(code=500, description="the restored stream differs from its snapshot")
    return restored.state


def _has_all(restored: StreamState, expected: StreamState) -> bool:
    """Whether a restored stream has the messages of its snapshot; clients may have published more since."""
    newer = restored.last_seq - expected.last_seq
    found = restored.first_seq, restored.messages
    return newer >= 0 and found == (expected.first_seq, expected.messages + newer)


async def _call(nc: Nats, subject: str, request: dict[str, Any], kind: Any) -> Any:
    reply = await nc.request(subject, msgspec.json.encode(request), timeout=TIMEOUT_S)
    answer = msgspec.json.decode(reply.data, type=kind)
    if answer.error is None:
        return answer
    if answer.error.get("code") == _NOT_FOUND:
        return None
    raise APIError(**answer.error)


def _require_complete(last: Msg) -> None:
    """Raises APIError if the broker ended a snapshot because of an error."""
    headers = last.headers or {}
    status = headers.get("Status", _END_OF_SNAPSHOT)
    if status != _END_OF_SNAPSHOT:
        raise APIError(code=int(status), description=headers.get("Description", "the snapshot was aborted"))


def _require_success(reply: Msg) -> _Restore:
    answer = msgspec.json.decode(reply.data, type=_Restore) if reply.data else _Restore()
    if answer.error is not None:
        raise APIError(**answer.error)
    return answer
