"""An HTTP proxy in front of the emulated AWS that shows the faults of a real DynamoDB.

Executed writes are repeated after `lag_s` in a second region of the emulator, in the same order. Reads that may lag are
answered from there, so that they see one consistent state, as it was `lag_s` ago. Other services' calls are passed on.

`PUT /faults` replaces the faults, `GET /faults` counts those that were shown.
"""

import asyncio
import json
import math
import sys
import time
from collections import Counter, deque

import aiohttp
import msgspec
from aiohttp import web

from support.dynamo_proxy import faults as dynamo
from support.dynamo_proxy.faults import BATCH_WRITE, TRANSACTION, WRITES, Dice, Faults

HOST = "127.0.0.1"
TABLE_CHANGES = ("CreateTable", "UpdateTable", "DeleteTable", "UpdateTimeToLive")
REGION, REPLICA_REGION = "/us-east-1/", "/eu-west-1/"
MAX_BODY = 32 * 1024 * 1024
POLL_S = 0.01
TIMEOUT_S = 30
# Of a connection, not of its responses.
_DROPPED = ("connection", "date", "server", "transfer-encoding")


class Proxy:
    """Passes calls on to the emulator, or answers them with a fault."""

    def __init__(self, target, faults):
        self._target = target
        self._dice = Dice(faults)
        self._http = None
        self._replay = deque()
        self._busy = Counter()
        self._key_names = {}
        # Writes are executed one after another, so that they are repeated in their order.
        self._writing = asyncio.Lock()
        self.shown = Counter()

    async def run(self, port):
        async with (
            aiohttp.ClientSession(
                auto_decompress=False, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)
            ) as self._http,
            asyncio.TaskGroup() as group,
        ):
            app = web.Application(client_max_size=MAX_BODY)
            app.router.add_route("GET", "/faults", self._get_faults)
            app.router.add_route("PUT", "/faults", self._put_faults)
            app.router.add_route("*", "/{path:.*}", self._handle)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, HOST, port).start()
            await group.create_task(self._repeat_writes())

    async def _get_faults(self, _request):
        return web.json_response(dict(self.shown))

    async def _put_faults(self, request):
        self._dice = Dice(msgspec.json.decode(await request.read(), type=Faults))
        if self._dice.faults.lag_s:
            # Without a lag before, they were not repeated.
            now = time.monotonic()
            self._replay = deque((min(due, now), *write) for due, *write in self._replay)
        self.shown.clear()
        return web.Response(status=204)

    async def _handle(self, request):
        body = await request.read()
        service, _, operation = request.headers.get("X-Amz-Target", "").rpartition(".")
        if not service.startswith("DynamoDB"):
            return await self._forward(request, body)
        arguments = json.loads(body)
        if operation == "CreateTable":
            names = [key["AttributeName"] for key in arguments["KeySchema"]]
            self._key_names[arguments["TableName"]] = names
        fault = self._dice.choose(operation)
        if fault == "away":
            self.shown[fault] += 1
            _reset(request)
            return web.Response()
        answer = self._answer(fault, operation, arguments)
        if answer is not None:
            return self._respond(fault, answer)
        if operation in (*WRITES, *TABLE_CHANGES):
            response = await self._write(request, body, operation, arguments, fault)
        elif _may_lag(arguments, operation) and self._dice.faults.lag_s:
            self.shown["lagging"] += 1
            response = await self._forward(request, body, replica=True)
        else:
            response = await self._forward(request, body)
        if fault == "lost":
            return self._respond(fault, dynamo.build_internal_error())
        if fault == "late":
            self.shown[fault] += 1
            await asyncio.sleep(self._dice.faults.late_s)
        return response

    def _answer(self, fault, operation, arguments):
        if fault == "conflicts":
            writes = arguments.get("TransactItems", [None])
            return dynamo.build_conflict(operation, writes, self._dice.one_of(range(len(writes))))
        if fault == "throttled":
            return dynamo.build_throttled(operation, arguments, self._dice)
        return dynamo.build_internal_error() if fault == "errors" else None

    def _respond(self, fault, answer):
        self.shown[fault] += 1
        return web.json_response(answer.body, status=answer.status, content_type="application/x-amz-json-1.0")

    async def _write(self, request, body, operation, arguments, fault):
        unprocessed = None
        if operation == BATCH_WRITE and fault == "throttled":
            self.shown[fault] += 1
            arguments, unprocessed = dynamo.split_batch(arguments)
            if not arguments["RequestItems"]:
                return web.json_response({"UnprocessedItems": unprocessed})
            body = json.dumps(arguments).encode()
        keys = dynamo.item_keys(operation, arguments, self._key_names)
        for index, key in enumerate(keys):
            if self._busy[key]:
                writes = arguments.get("TransactItems", [None])
                return self._respond("overlapping", dynamo.build_conflict(operation, writes, index))
        if operation in TABLE_CHANGES:
            await self._forward(request, body, replica=True)
            return await self._forward(request, body)
        if operation != TRANSACTION:
            return await self._execute(request, body, unprocessed)
        self._busy.update(keys)
        try:
            await asyncio.sleep(self._dice.faults.transaction_s)
            return await self._execute(request, body)
        finally:
            self._busy.subtract(keys)

    async def _execute(self, request, body, unprocessed=None):
        async with self._writing:
            response = await self._forward(request, body)
            if response.status == 200:
                due = time.monotonic() + (self._dice.faults.lag_s or math.inf)
                self._replay.append((due, request.path_qs, _passed_on(request.headers), body))
        if unprocessed is not None:
            return web.json_response({"UnprocessedItems": unprocessed})
        return response

    async def _forward(self, request, body, *, replica=False):
        headers = _passed_on(request.headers)
        if replica:
            headers = _to_replica(headers)
        try:
            sent = self._http.request(
                request.method,
                self._target + request.path_qs,
                data=body,
                headers=headers,
                allow_redirects=False,
            )
            async with sent as response:
                passed = {
                    name: value for name, value in response.headers.items() if name.lower() not in _DROPPED
                }
                return web.Response(body=await response.read(), status=response.status, headers=passed)
        except (aiohttp.ClientError, TimeoutError):
            _reset(request)
            raise

    async def _repeat_writes(self):
        while True:
            if not self._replay or self._replay[0][0] > time.monotonic():
                await asyncio.sleep(POLL_S)
                continue
            _, path, headers, body = self._replay.popleft()
            try:
                sent = self._http.post(self._target + path, data=body, headers=_to_replica(headers))
                async with sent as response:
                    await response.read()
            except (aiohttp.ClientError, TimeoutError):
                self.shown["not_repeated"] += 1


def _reset(request):
    # As if nobody listened.
    if request.transport is not None:
        request.transport.abort()


def _to_replica(headers):
    return {**headers, "Authorization": headers["Authorization"].replace(REGION, REPLICA_REGION)}


def _passed_on(headers):
    return {name: value for name, value in headers.items() if name.lower() not in ("host", "content-length")}


def _may_lag(arguments, operation):
    if operation == "BatchGetItem":
        return not all(each.get("ConsistentRead") for each in arguments["RequestItems"].values())
    return operation in ("GetItem", "Query", "Scan") and (
        "IndexName" in arguments or not arguments.get("ConsistentRead")
    )


if __name__ == "__main__":
    port, target, settings = sys.argv[1:]
    asyncio.run(Proxy(target, msgspec.json.decode(settings, type=Faults)).run(int(port)))
