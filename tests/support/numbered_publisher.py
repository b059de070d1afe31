"""A client that shows whether acknowledged messages are lost while the system restarts."""

import asyncio
import json
import uuid
from contextlib import suppress

from websockets.exceptions import WebSocketException

from support.container_clients import authenticate, receive


class NumberedPublisher:
    """Publishes numbers to a channel one after another, each until it is acknowledged, over as many connections as it takes."""

    def __init__(self, host, client, channel_id):
        self._host = host
        self._client = client
        self._channel_id = channel_id
        self._stopping = False
        self._next = 0
        self.acknowledged = {}
        self.reconnects = []
        self.attempts = 0
        self._run_id = uuid.uuid4().hex[:8]

    def stop(self):
        self._stopping = True

    async def run(self):
        while not self._stopping:
            try:
                async with self._host.connect_websocket(
                    f"/ws/client/{self._client['client']['client_id']}"
                ) as ws:
                    await authenticate(ws, self._client["nkey_seed"])
                    try:
                        while not self._stopping:
                            await self._publish(ws)
                    except WebSocketException:
                        await self._read_last_frames(ws)
                        raise
            except (OSError, TimeoutError, WebSocketException):
                await asyncio.sleep(0.2)

    async def _read_last_frames(self, ws):
        with suppress(WebSocketException):
            while True:
                frame = json.loads(await ws.recv())
                if frame["type"] == "reconnect":
                    self.reconnects.append(frame["retry_after_ms"])

    async def _publish(self, ws):
        number = self._next
        frame = {
            "type": "publish",
            "channel": self._channel_id,
            "data": {"run": self._run_id, "number": number},
            "id": number,
            # So that a number whose acknowledgement was lost is stored once.
            "message_id": f"{self._run_id}-{number}",
        }
        self.attempts += 1
        await ws.send(json.dumps(frame))
        answer = await receive(ws, "published", "error", "reconnect", within=15)
        if answer["type"] == "reconnect":
            self.reconnects.append(answer["retry_after_ms"])
            answer = await receive(ws, "published", "error", within=15)
        if answer["type"] == "published":
            self.acknowledged[number] = answer["seq"]
            self._next += 1
            await asyncio.sleep(0.01)
        else:
            await asyncio.sleep(0.2)

    async def read_back(self):
        """The numbers in the channel's history, with the places at which they are stored."""
        found = []
        first = min(self.acknowledged.values())
        last = max(self.acknowledged.values())
        async with self._host.connect_websocket(f"/ws/client/{self._client['client']['client_id']}") as ws:
            await authenticate(ws, self._client["nkey_seed"])
            await ws.send(json.dumps({"type": "subscribe", "channel": self._channel_id, "since": first}))
            while not found or found[-1][1] < last:
                message = await receive(ws, "message", within=20)
                if message["data"]["run"] == self._run_id:
                    found.append((message["data"]["number"], message["seq"]))
        return found
