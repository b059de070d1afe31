"""Messages over WebSocket, as a client of the service."""

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
from artcafe_common.cli.exit_codes import ExitCode, Failure, exit_for_code
from artcafe_common.cli.transport import ANSWER_S, Lost, Subject

CONNECT_S = 10.0
MAX_FRAME = 4 * 1024 * 1024
# The server's words for: this key will not do, now or later.
FINAL_CLOSES = (4401, 4403)


class WebSocket:
    """The way through the gateway."""

    def __init__(self, url: str, client_id: str, key: KeyPair) -> None:
        self._url = f"{url}/ws/client/{quote(client_id, safe='')}"
        self._key = key

    async def publish(self, subject: Subject, data: bytes, count: int) -> None:
        """Send a message so many times, each when the broker has the one before it."""
        async with self._joined() as (ws, _):
            for number in range(count):
                head = {"type": "publish", "id": str(number), **subject.fields}
                # The data goes as it is: what was JSON stays what it was, to the last digit.
                await ws.send(json.dumps(head)[:-1] + ', "data": ' + data.decode() + "}")
                try:
                    async with asyncio.timeout(ANSWER_S):
                        await _answer(ws, "published", str(number))
                except Failure:
                    if number:
                        output.say(f"{number} of {count} were published")
                    raise

    async def listen(
        self,
        subject: Subject,
        begin: dict[str, int],
        ready: Callable[[], Awaitable[None]],
        put: Callable[[dict[str, Any]], None],
    ) -> None:
        """Hand over messages until the connection is Lost; `ready` is called once they begin.

        `begin` is `since` or `last` of a channel that keeps its messages.
        """
        async with self._joined() as (ws, interval_s):
            await ws.send(json.dumps({"type": "subscribe", "id": "sub", **subject.fields, **begin}))
            async with asyncio.timeout(ANSWER_S):
                await _answer(ws, "subscribed", "sub")
            await ready()
            alive = asyncio.create_task(_stay_alive(ws, interval_s))
            try:
                while True:
                    frame = _decode(await ws.recv())
                    if frame.get("type") == "message":
                        put({name: value for name, value in frame.items() if name != "type"})
            finally:
                alive.cancel()

    @asynccontextmanager
    async def _joined(self) -> AsyncIterator[tuple[ClientConnection, float]]:
        """An authenticated connection; Lost when it breaks, Failure when it will never be."""
        refusal: dict[str, Any] = {}
        try:
            async with connect(self._url, open_timeout=CONNECT_S, max_size=MAX_FRAME, close_timeout=1) as ws:
                async with asyncio.timeout(CONNECT_S):
                    interval_s = await self._authenticate(ws, refusal)
                yield ws, interval_s
        except ConnectionClosed as error:
            code = error.rcvd.code if error.rcvd else None
            reason = (error.rcvd.reason if error.rcvd else "") or "the connection broke"
            if code in FINAL_CLOSES:
                raise Failure(
                    f"the server closed the connection: {reason}", ExitCode.DENIED, code=reason
                ) from None
            raise Lost(
                str(refusal.get("message", reason)),
                retry_after_s=refusal.get("retry_after_ms", 0) / 1000,
                code=str(refusal.get("code", "")),
            ) from None
        except TimeoutError:
            raise Lost(f"no answer from {self._url}") from None
        except (OSError, WebSocketException) as error:
            raise Lost(f"cannot reach {self._url}: {error}") from None

    async def _authenticate(self, ws: ClientConnection, refusal: dict[str, Any]) -> float:
        while True:
            frame = _decode(await ws.recv())
            match frame.get("type"):
                case "challenge":
                    signature = base64.urlsafe_b64encode(self._key.sign(frame["nonce"].encode())).decode()
                    proof = {"type": "auth", "nkey": self._key.public, "signature": signature}
                    await ws.send(json.dumps(proof))
                case "welcome":
                    return float(frame.get("heartbeat_interval_s", 30))
                case "error":
                    # The server closes now, and says with its code whether to come back.
                    refusal.update(frame)


async def _answer(ws: ClientConnection, kind: str, frame_id: str) -> None:
    while True:
        frame = _decode(await ws.recv())
        if frame.get("id") != frame_id:
            continue
        if frame.get("type") == "error":
            code = str(frame.get("code", ""))
            raise Failure(str(frame.get("message", "refused")), exit_for_code(code), code=code)
        if frame.get("type") == kind:
            return


async def _stay_alive(ws: ClientConnection, interval_s: float) -> None:
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
        raise Failure("the server does not speak ArtCafe's protocol")
    return frame
