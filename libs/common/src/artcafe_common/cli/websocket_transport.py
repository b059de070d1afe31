"""Messages over the gateway's WebSocket."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import quote

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from artcafe_common.broker.nkeys import KeyPair
from artcafe_common.cli import output
from artcafe_common.cli.exit_codes import ExitCode, Failure, exit_code_for_error
from artcafe_common.cli.transport import REPLY_TIMEOUT_S, ConnectionLost, Subject, SubscribeOptions

CONNECT_TIMEOUT_S = 10.0
MAX_FRAME_BYTES = 4 * 1024 * 1024
# Close codes after which a reconnect with the same key fails again.
FINAL_CLOSE_CODES = (4401, 4403)


class WebSocketTransport:
    """Connects to the gateway as a client."""

    def __init__(self, url: str, client_id: str, key: KeyPair) -> None:
        self._url = f"{url}/ws/client/{quote(client_id, safe='')}"
        self._key = key
        # What the server sent before it closed the connection.
        self._last_error: dict[str, Any] = {}

    async def publish(self, subject: Subject, data: bytes, count: int) -> None:
        """Publish a message `count` times, each after the broker has confirmed the previous one."""
        async with self._connect() as (ws, _):
            for number in range(count):
                head = {"type": "publish", "id": str(number), **subject.fields}
                # The data is inserted as text, so that JSON numbers keep every digit.
                await ws.send(json.dumps(head)[:-1] + ', "data": ' + data.decode() + "}")
                try:
                    async with asyncio.timeout(REPLY_TIMEOUT_S):
                        await _wait_for_reply(ws, "published", str(number))
                except Failure:
                    if number:
                        output.print_notice(f"{number} of {count} messages were published")
                    raise

    async def subscribe(
        self,
        subject: Subject,
        options: SubscribeOptions,
        on_ready: Callable[[], Awaitable[None]],
        on_message: Callable[[dict[str, Any]], None],
    ) -> None:
        """Receive messages until `on_message` raises or the connection is lost."""
        queue = {"queue": options.queue} if options.queue else {}
        async with self._connect() as (ws, interval_s):
            await ws.send(
                json.dumps({"type": "subscribe", "id": "sub", **subject.fields, **options.replay, **queue})
            )
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                await _wait_for_reply(ws, "subscribed", "sub")
            await on_ready()
            pings = asyncio.create_task(_send_pings(ws, interval_s))
            try:
                while True:
                    frame = _decode(await ws.recv())
                    if frame.get("type") == "message":
                        on_message({name: value for name, value in frame.items() if name != "type"})
                    elif frame.get("type") == "gap":
                        output.print_notice(
                            f"messages {frame.get('from_seq')} to {frame.get('to_seq')} are not stored any more"
                        )
                    elif frame.get("type") == "reconnect":
                        self._last_error["retry_after_ms"] = frame.get("retry_after_ms", 0)
            finally:
                pings.cancel()

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[tuple[ClientConnection, float]]:
        """An authenticated connection and its heartbeat interval in seconds.

        Raises ConnectionLost if it breaks, and Failure if a reconnect cannot help.
        """
        last_error = self._last_error = {}
        try:
            async with connect(
                self._url, open_timeout=CONNECT_TIMEOUT_S, max_size=MAX_FRAME_BYTES, close_timeout=1
            ) as ws:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    interval_s = await self._authenticate(ws, last_error)
                yield ws, interval_s
        except ConnectionClosed as error:
            close_code = error.rcvd.code if error.rcvd else None
            reason = (error.rcvd.reason if error.rcvd else "") or "the connection was lost"
            if close_code in FINAL_CLOSE_CODES:
                raise Failure(
                    f"the server closed the connection: {reason}", ExitCode.DENIED, code=reason
                ) from None
            raise ConnectionLost(
                str(last_error.get("message", reason)),
                retry_after_s=last_error.get("retry_after_ms", 0) / 1000,
                code=str(last_error.get("code", "")),
            ) from None
        except TimeoutError:
            raise ConnectionLost(f"no answer from {self._url}") from None
        except (OSError, WebSocketException) as error:
            raise ConnectionLost(f"cannot reach {self._url}: {error}") from None

    async def _authenticate(self, ws: ClientConnection, last_error: dict[str, Any]) -> float:
        """Answer the challenge; returns the heartbeat interval in seconds."""
        while True:
            frame = _decode(await ws.recv())
            match frame.get("type"):
                case "challenge":
                    signature = base64.urlsafe_b64encode(self._key.sign(frame["nonce"].encode())).decode()
                    answer = {"type": "auth", "nkey": self._key.public, "signature": signature}
                    await ws.send(json.dumps(answer))
                case "welcome":
                    return float(frame.get("heartbeat_interval_s", 30))
                case "error":
                    # The server closes the connection next; the close code says whether to reconnect.
                    last_error.update(frame)


async def _wait_for_reply(ws: ClientConnection, kind: str, frame_id: str) -> None:
    while True:
        frame = _decode(await ws.recv())
        if frame.get("id") != frame_id:
            continue
        if frame.get("type") == "error":
            code = str(frame.get("code", ""))
            raise Failure(
                str(frame.get("message", "the request was rejected")), exit_code_for_error(code), code=code
            )
        if frame.get("type") == kind:
            return


async def _send_pings(ws: ClientConnection, interval_s: float) -> None:
    with suppress(ConnectionClosed):
        while True:
            await asyncio.sleep(interval_s)
            await ws.send('{"type": "ping"}')


def _decode(text: str | bytes) -> dict[str, Any]:
    try:
        frame = msgspec.json.decode(text)
    except msgspec.DecodeError:
        frame = None
    if not isinstance(frame, dict):
        raise Failure("the server sent a frame that is not a JSON object")
    return frame
