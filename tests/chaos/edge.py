"""Numbered messages over the gateways: WebSocket to WebSocket, and REST to the channel's history."""

import asyncio
import itertools
import json
import time
from collections import Counter
from contextlib import suppress

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from chaos.findings import Arrivals, compare
from support.container_clients import authenticate, receive
from support.numbered_publisher import NumberedPublisher

RETRY_S = 0.2
TIMEOUT_S = 10.0
REST_RATE_S = 0.1
CALL_RATE_S = 0.2


class Gateways:
    """Both gateways, as a load balancer sees them: one that refuses the connection is passed over."""

    def __init__(self, stack, tenant):
        self._turn = itertools.count()
        self._ports = stack.gateways
        self.errors = Counter()
        headers = {name: tenant.http.headers[name] for name in ("Authorization", "X-Tenant-Id")}
        self._http = [
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=TIMEOUT_S, headers=headers)
            for port in self._ports
        ]

    def connect_websocket(self, path):
        port = self._ports[next(self._turn) % len(self._ports)]
        return connect(f"ws://127.0.0.1:{port}{path}", compression=None, open_timeout=3, close_timeout=1)

    async def send(self, method, path, **options):
        """The response, or None without one; errors are counted by kind."""
        for _ in self._http:
            http = self._http[next(self._turn) % len(self._http)]
            try:
                response = await http.request(method, path, **options)
            except httpx.ConnectError:
                self.errors["connection refused"] += 1
                continue
            except httpx.TimeoutException:
                self.errors["no answer"] += 1
                return None
            except httpx.HTTPError:
                self.errors["connection lost"] += 1
                return None
            if response.is_error:
                code = response.json().get("code", "") if "json" in response.headers["content-type"] else ""
                self.errors[f"{response.status_code} {code}".strip()] += 1
            return response
        return None

    async def read_history(self, channel_id):
        """The numbers in a channel's history."""
        numbers, cursor = [], None
        while True:
            query = {"limit": 200, **({"cursor": cursor} if cursor else {})}
            response = await self.send("GET", f"/channels/{channel_id}/messages", params=query)
            if response is None or response.is_error:
                raise RuntimeError(f"the history cannot be read: {dict(self.errors)}")
            page = response.json()
            numbers += [message["data"] for message in page["messages"]]
            cursor = page["next_cursor"]
            if cursor is None:
                return numbers

    async def close(self):
        for http in self._http:
            await http.aclose()


class SocketTraffic:
    """One client publishes to a channel, another one follows it and resumes after the last message that it received."""

    name = "WebSocket channel"

    def __init__(self, gateways, publisher, subscriber, channel_id):
        self._gateways = gateways
        self._subscriber = subscriber
        self._channel_id = channel_id
        created = {"client": {"client_id": publisher.id}, "nkey_seed": publisher.seed}
        self._publisher = NumberedPublisher(gateways, created, channel_id)
        self._next_seq = 1
        self.arrivals = Arrivals()

    @property
    def attempts(self):
        return self._publisher.attempts

    async def start(self, tasks):
        self._publishing = tasks.create_task(self._publisher.run())
        self._following = tasks.create_task(self._follow())

    async def _follow(self):
        while True:
            with suppress(OSError, TimeoutError, WebSocketException):
                async with self._gateways.connect_websocket(f"/ws/client/{self._subscriber.id}") as ws:
                    await authenticate(ws, self._subscriber.seed)
                    frame = {"type": "subscribe", "channel": self._channel_id, "since": self._next_seq}
                    await ws.send(json.dumps(frame))
                    while True:
                        message = await receive(ws, "message", within=30)
                        self._next_seq = message["seq"] + 1
                        self.arrivals.add(message["data"]["number"])
            await asyncio.sleep(RETRY_S)

    async def stop(self):
        self._publisher.stop()
        await self._publishing
        gap = self.arrivals.longest_gap_s
        last = max(self._publisher.acknowledged, default=-1)
        ends_at = time.monotonic() + TIMEOUT_S
        while last not in self.arrivals.numbers and time.monotonic() < ends_at:
            await asyncio.sleep(0.05)
        self._following.cancel()
        acknowledged = self._publisher.acknowledged
        return {
            "acknowledged": len(acknowledged),
            "longest_gap_s": gap,
            **compare(acknowledged, self.arrivals.numbers),
        }


class RestTraffic:
    """Publishes to a channel over REST, each message with its Idempotency-Key until it is accepted."""

    name = "REST channel"

    def __init__(self, gateways, channel_id):
        self._gateways = gateways
        self._channel_id = channel_id
        self._stopping = False
        self.attempts = 0
        self.arrivals = Arrivals()
        self.slowest_s = 0.0

    async def start(self, tasks):
        self._publishing = tasks.create_task(self._publish())

    async def _publish(self):
        for number in itertools.count():
            while True:
                self.attempts += 1
                began_at = time.monotonic()
                response = await self._gateways.send(
                    "POST",
                    f"/channels/{self._channel_id}/messages",
                    json=number,
                    headers={"Idempotency-Key": f"{self._channel_id}-{number}"},
                )
                self.slowest_s = max(self.slowest_s, time.monotonic() - began_at)
                if response is not None and response.is_success:
                    self.arrivals.add(number)
                    break
                if self._stopping:
                    return
                await asyncio.sleep(RETRY_S)
            if self._stopping:
                return
            await asyncio.sleep(REST_RATE_S)

    async def stop(self):
        self._stopping = True
        await self._publishing
        errors = dict(self._gateways.errors)
        return {
            "acknowledged": len(self.arrivals.numbers),
            "longest_gap_s": self.arrivals.longest_gap_s,
            "slowest_write_s": self.slowest_s,
            "errors": errors,
            **compare(self.arrivals.numbers, await self._gateways.read_history(self._channel_id)),
        }


class CallTraffic:
    """Reads and changes over REST at a steady rate, whether or not earlier ones were answered."""

    name = "REST reads and writes"

    def __init__(self, gateways, client_ids):
        self._gateways = gateways
        # In turn, so that few changes meet another one of the same client.
        self._client_ids = itertools.cycle(client_ids)
        self._slowest = {"GET": 0.0, "PUT": 0.0}
        self.answered = 0

    async def start(self, tasks):
        self._calling = tasks.create_task(self._run())

    async def _run(self):
        async with asyncio.TaskGroup() as calls:
            with suppress(asyncio.CancelledError):
                for number in itertools.count():
                    calls.create_task(self._call("GET", None))
                    calls.create_task(self._call("PUT", {"metadata": {"number": str(number)}}))
                    await asyncio.sleep(CALL_RATE_S)

    async def _call(self, method, body):
        began_at = time.monotonic()
        response = await self._gateways.send(method, f"/clients/{next(self._client_ids)}", json=body)
        self._slowest[method] = max(self._slowest[method], time.monotonic() - began_at)
        self.answered += response is not None and response.is_success

    async def stop(self):
        self._calling.cancel()
        with suppress(asyncio.CancelledError):
            await self._calling
        return {
            "acknowledged": self.answered,
            "errors": dict(self._gateways.errors),
            "slowest_read_s": self._slowest["GET"],
            "slowest_write_s": self._slowest["PUT"],
        }
