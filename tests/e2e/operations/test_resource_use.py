"""The load on DynamoDB and Redis, and large messages or slow operations that must not block others."""

import asyncio
import json
import re
import shutil
import sys
import time

import httpx
import pytest
from redis.asyncio import Redis

from support.actors import User
from support.api_examples import ENDLESS, ROUTES
from support.broker import list_tenant_connections
from support.waiting import eventually

MESSAGES = 1_000
# DynamoDB operations of the services' background jobs during some seconds.
BACKGROUND = 100
READS, LONG_LIST = 10, 40


@pytest.fixture(scope="module")
async def recording_stack(new_stack, tmp_path_factory):
    """A stack whose DynamoDB can record its requests."""
    recording = tmp_path_factory.mktemp("moto") / "recording"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_RECORDER_FILEPATH", str(recording))
        async with new_stack() as stack:
            stack.recording = recording
            yield stack


@pytest.fixture
async def org(recording_stack):
    return await (await User.sign_up(recording_stack)).create_organization()


class RecordDynamoDB:
    """Records the DynamoDB operations while the context is open."""

    def __init__(self, stack):
        self._stack = stack
        self.operations = []

    async def __aenter__(self):
        self._stack.recording.unlink(missing_ok=True)
        await self._switch("start")
        return self

    async def __aexit__(self, *_):
        await self._switch("stop")
        lines = self._stack.recording.read_text().splitlines() if self._stack.recording.exists() else []
        targets = [json.loads(line)["headers"].get("X-Amz-Target", "") for line in lines]
        self.operations = [t.partition(".")[2] for t in targets if t.startswith("DynamoDB")]

    async def _switch(self, action):
        async with httpx.AsyncClient(base_url=self._stack.aws_url) as http:
            assert (await http.post(f"/moto-api/recorder/{action}-recording")).status_code == 200


async def total_redis_commands(stack):
    """The number of commands that Redis has processed since its start."""
    redis = Redis(port=stack.ports.redis)
    try:
        return (await redis.info("stats"))["total_commands_processed"]
    finally:
        await redis.aclose()


async def count_redis_commands(stack, work):
    """The number of commands that clients send while `work` runs, without those inside Lua scripts."""
    sent = []

    async def listen(monitor):
        while True:
            sent.append(await monitor.next_command())

    redis = Redis(port=stack.ports.redis)
    try:
        async with redis.monitor() as monitor:
            task = asyncio.create_task(listen(monitor))
            await work()
            await redis.echo("end of work")
            await eventually(lambda: any("end of work" in command["command"] for command in sent))
            task.cancel()
    finally:
        await redis.aclose()
    return sum(command["client_type"] != "lua" for command in sent)


async def test_no_route_scans_a_table(recording_stack, org):
    client, channel = await org.create_client(), await org.create_channel()
    old = await org.call("POST", "/agents", 201, json={"name": "old"})
    subject = await org.call("POST", "/subjects", 201, json={"name": "S", "pattern": "s.>"})
    key = await org.call("POST", f"/accounts/generate-nkey/{org.id}", 201)
    live = await client.connect_websocket()
    invited = await org.call(
        "POST", f"/accounts/{org.id}/invitations", 201, json={"email": "new@example.com"}
    )
    ids = {
        "account_id": org.id,
        "connection_id": live.welcome["connection_id"],
        "user_id": "nobody",
        "invitation_id": invited["invitation_id"],
        "nkey_public": key["nkey_public"],
        "client_id": client.id,
        "agent_id": old["agent"]["agent_id"],
        "channel_id": channel["channel_id"],
        "subject_id": subject["subject_id"],
    }
    # Deletions come last, so that the other routes find their resources; that of the organization after all else.
    *routes, last = sorted(
        ROUTES, key=lambda route: (route.startswith("DELETE"), route == "DELETE /accounts/{account_id}")
    )

    async def request(route):
        method, path = route.split(" ")
        async with org.http.stream(method, path.format(**ids), json=ROUTES[route]) as response:
            body = await anext(response.aiter_text(), "") if route in ENDLESS else await response.aread()
            assert response.status_code < 500, (route, body)

    async with RecordDynamoDB(recording_stack) as recorder:
        for route in routes:
            await request(route)
        socket, dashboard = (
            await (await org.create_client()).connect_websocket(),
            await org.connect_dashboard(),
        )
        await socket.subscribe(subject="x")
        await dashboard.send_and_receive("subscribe_topic_preview", "subscription_confirmed")
        await request(last)
    assert len(recorder.operations) > len(ROUTES)
    assert {"Scan", "ParallelScan", "ExecuteStatement"} & set(recorder.operations) == set()


async def test_messages_cause_no_store_operations(recording_stack, org):
    channel = await org.create_channel()
    publisher, subscriber = [await (await org.create_client()).connect_websocket() for _ in range(2)]
    await subscriber.subscribe(channel=channel["channel_id"])
    # The first message looks up the channel's history, and records its subscriber in the background.
    await publisher.send_and_receive("publish", "published", channel=channel["channel_id"], data=0, id=0)
    await subscriber.receive("message")
    await asyncio.sleep(1)
    idle, idle_since = await total_redis_commands(recording_stack), time.monotonic()
    await asyncio.sleep(2)
    before, started_at = await total_redis_commands(recording_stack), time.monotonic()
    async with RecordDynamoDB(recording_stack) as recorder:
        for number in range(MESSAGES):
            await publisher.send(type="publish", channel=channel["channel_id"], data=number, id=number)
        for _ in range(MESSAGES):
            await publisher.receive("published")
            await subscriber.receive("message")
    assert len(recorder.operations) < BACKGROUND
    commands = await total_redis_commands(recording_stack) - before
    # What the services send without messages, in the time that it took.
    background = (before - idle) / (started_at - idle_since) * (time.monotonic() - started_at)
    assert commands - background < MESSAGES / 2


async def test_long_list_costs_no_more_store_operations_than_a_short_one(recording_stack, org):
    other = await (await User.sign_up(recording_stack)).create_organization()
    for tenant, count in ((org, 1), (other, LONG_LIST)):
        for _ in range(count):
            await tenant.create_client()
            await tenant.create_channel()
    cost = []
    for tenant in (org, other):

        async def read(tenant=tenant):
            for _ in range(READS):
                for path in ("/clients", "/channels"):
                    await tenant.call("GET", f"{path}?limit=200", 200)

        await read()
        async with RecordDynamoDB(recording_stack) as recorder:
            commands = await count_redis_commands(recording_stack, read)
        cost.append((len(recorder.operations), commands))
    for short, long in zip(*cost, strict=True):
        assert short > 0
        assert long - short < BACKGROUND < READS * LONG_LIST / 2


async def test_subject_names_are_not_stored(recording_stack, org):
    """Publishing to many subjects grows neither Redis nor the tables."""
    publisher, subscriber = [await (await org.create_client()).connect_websocket() for _ in range(2)]
    nc, dashboard = await (await org.create_client()).connect_nats(), await org.connect_dashboard()
    await subscriber.subscribe(subject="once.>")
    await dashboard.send_and_receive("subscribe_topic_preview", "subscription_confirmed")

    async def dump_redis():
        """All keys and values in Redis."""
        redis, contents = Redis(port=recording_stack.ports.redis), []
        try:
            await redis.config_set("rdbcompression", "no")
            async for key in redis.scan_iter(count=1000):
                contents.append(key)
                contents.append(await redis.dump(key) or b"")
        finally:
            await redis.aclose()
        return b"".join(contents)

    async with RecordDynamoDB(recording_stack) as recorder:
        for number in range(500):
            await publisher.send(type="publish", subject=f"once.ws{number}", data=1)
            await nc.publish(f"{org.id}.once.direct{number}", b"1")
        await eventually(lambda: len(subscriber.pending("message")) == 1000)

        async def counted():
            today = (await org.call("GET", "/usage/local/stats", 200))["today"]
            return today["messages"] >= 1000

        await eventually(counted)
    assert len(recorder.operations) < BACKGROUND
    contents = await dump_redis()
    assert org.id.encode() in contents
    assert b"once" not in contents


async def test_many_large_messages_do_not_break_the_bridge(recording_stack, org):
    """Two hundred messages of 200 kB all arrive, and the bridge does not reconnect."""
    publisher = await (await org.create_client()).connect_nats()
    subscribers = [await (await org.create_client()).connect_websocket() for _ in range(3)]
    for subscriber in subscribers:
        await subscriber.subscribe(subject="large")
    block = b'"' + b"x" * 200_000 + b'"'
    for number in range(200):
        await publisher.publish(f"{org.id}.large", block)
        if number % 10 == 9:
            await publisher.flush()
            await eventually(lambda n=number: all(len(s.pending("message")) == n + 1 for s in subscribers))
    log = (recording_stack.directory / "logs/gateway.log").read_text()
    assert re.search(r'"event": "bridge_(problem|error|reconnect)', log) is None


async def test_burst_of_large_messages_affects_only_its_subscriber(recording_stack, org):
    """Published over NATS and WebSocket at once; other subscribers receive all of their messages."""
    direct = await (await org.create_client()).connect_nats()
    sockets = [await (await org.create_client()).connect_websocket() for _ in range(4)]
    burst, other, burst_publisher, other_publisher = sockets
    await burst.subscribe(subject="burst")
    await other.subscribe(subject="calm")
    before = {connection.cid for connection in await list_tenant_connections(org)}
    assert before
    block = "x" * 200_000
    for number in range(200):
        await direct.publish(f"{org.id}.burst", f'"{block}"'.encode())
        await burst_publisher.send(type="publish", subject="burst", data=block)
        await other_publisher.send(type="publish", subject="calm", data=number, id=number)
    await direct.flush()
    await eventually(lambda: len(other.pending("message")) == 200, within=60)
    assert [frame["data"] for frame in other.pending("message")] == list(range(200))
    # A message can overtake the acknowledgement of its publisher.
    await eventually(lambda: len(other_publisher.pending("published")) == 200)
    assert other_publisher.pending("error") == []
    # The subscriber of the burst receives all messages, or is disconnected as too slow.
    await eventually(lambda: burst.closed or len(burst.pending("message")) == 400, within=60)
    assert burst.closed in (None, (4408, "too_slow"), (1006, ""))
    assert await burst_publisher.send_and_receive("ping", "pong")
    assert {connection.cid for connection in await list_tenant_connections(org)} == before


async def test_rsa_key_generation_does_not_block_other_requests(org):
    """Identity answers a cheap request before it has generated all keys."""
    body = {"key_type": "rsa"}
    creations = [
        asyncio.create_task(org.call("POST", "/agents", 201, json={**body, "name": f"r{n}"}))
        for n in range(6)
    ]
    await asyncio.sleep(0)
    responses = 0
    while not all(task.done() for task in creations):
        response = await org.http.post("/auth/client/challenge", json={"client_id": "x"})
        assert response.status_code == 200
        responses += 1
    assert responses > 1
    for task in creations:
        assert "PRIVATE KEY" in (await task)["private_key"]


@pytest.mark.parametrize("content", [None, "", "\n", "short"])
async def test_identity_does_not_start_without_its_token_key(recording_stack, tmp_path, content):
    keys = tmp_path / "keys"
    shutil.copytree(recording_stack.directory / "keys", keys)
    secret = keys / "agent-token.key"
    secret.unlink()
    if content is not None:
        secret.write_text(content)
        secret.chmod(0o600)
    environ = {**recording_stack.environ("identity"), "ARTCAFE_KEYS_DIR": str(keys)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "artcafe_identity"),
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(30):
            output = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode != 0
    assert "agent-token.key" in output.strip().splitlines()[-1]
    assert "Traceback" not in output
