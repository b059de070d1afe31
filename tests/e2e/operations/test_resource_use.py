"""What things cost the stores and the other services, and that nothing large or slow is in anybody's way."""

import asyncio
import json
import re
import shutil
import sys

import httpx
import pytest
from redis.asyncio import Redis

from artcafe_common.broker.connect import connect as connect_nats
from artcafe_common.broker.system_account import list_connections
from support.actors import User
from support.api_examples import ROUTES
from support.waiting import eventually

MESSAGES = 1_000
# What the services do by themselves in some seconds: looks for what is pending, sweeps, reports.
BACKGROUND = 100
LOOKS, MANY = 10, 40


@pytest.fixture(scope="module")
async def own_stack(new_stack, tmp_path_factory):
    """A stack whose DynamoDB writes down what it is asked."""
    recording = tmp_path_factory.mktemp("moto") / "recording"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_RECORDER_FILEPATH", str(recording))
        async with new_stack() as running:
            running.recording = recording
            yield running


@pytest.fixture
async def org(own_stack):
    return await (await User.sign_up(own_stack)).create_organization()


class Asked:
    """The DynamoDB operations that were asked for within."""

    def __init__(self, stack):
        self._stack = stack
        self.operations = []

    async def __aenter__(self):
        self._stack.recording.unlink(missing_ok=True)
        await self._tell("start")
        return self

    async def __aexit__(self, *_):
        await self._tell("stop")
        lines = self._stack.recording.read_text().splitlines() if self._stack.recording.exists() else []
        targets = [json.loads(line)["headers"].get("X-Amz-Target", "") for line in lines]
        self.operations = [t.partition(".")[2] for t in targets if t.startswith("DynamoDB")]

    async def _tell(self, what):
        async with httpx.AsyncClient(base_url=self._stack.aws_url) as http:
            assert (await http.post(f"/moto-api/recorder/{what}-recording")).status_code == 200


async def redis_calls(stack):
    """How many commands Redis was asked for, ever."""
    redis = Redis(port=stack.ports.redis)
    try:
        return (await redis.info("stats"))["total_commands_processed"]
    finally:
        await redis.aclose()


async def redis_asked(stack, work):
    """How many commands clients sent to Redis during `work`; what a script does inside is Redis's own."""
    sent = []

    async def listen(monitor):
        while True:
            sent.append(await monitor.next_command())

    redis = Redis(port=stack.ports.redis)
    try:
        async with redis.monitor() as monitor:
            listening = asyncio.create_task(listen(monitor))
            await work()
            await redis.echo("that was it")
            await eventually(lambda: any("that was it" in command["command"] for command in sent))
            listening.cancel()
    finally:
        await redis.aclose()
    return sum(command["client_type"] != "lua" for command in sent)


async def connections_of(org):
    """The connections into a tenant's account, the gateway's among them, as the broker knows them."""
    stack = org.stack
    keys = stack.directory / "keys"
    system = await connect_nats(stack.environ()["NATS_URL"], keys / "metering-system.creds", name="metering")
    try:
        return {
            connection.cid
            for listing in await list_connections(system)
            for connection in listing.connections
            if connection.name_tag == org.id
        }
    finally:
        await system.close()


async def test_no_route_scans_a_table(own_stack, org):
    agent, channel = await org.create_client(), await org.create_channel()
    old = await org.call("POST", "/agents", 201, json={"name": "old"})
    subject = await org.call("POST", "/subjects", 201, json={"name": "S", "pattern": "s.>"})
    ids = {
        "account_id": org.id,
        "user_id": "nobody",
        "client_id": agent.id,
        "agent_id": old["agent"]["agent_id"],
        "channel_id": channel["channel_id"],
        "subject_id": subject["subject_id"],
    }
    # What deletes comes last, so that the others have something to find.
    ordered = sorted(ROUTES, key=lambda route: route.startswith("DELETE"))
    async with Asked(own_stack) as asked:
        for route in ordered:
            method, path = route.split(" ")
            answer = await org.http.request(method, path.format(**ids), json=ROUTES[route])
            assert answer.status_code < 500, (route, answer.text)
        socket, board = await (await org.create_client()).connect_websocket(), await org.connect_dashboard()
        await socket.subscribe(subject="x")
        await board.send_and_receive("subscribe_topic_preview", "subscription_confirmed")
    assert len(asked.operations) > len(ROUTES)
    assert {"Scan", "ParallelScan", "ExecuteStatement"} & set(asked.operations) == set()


async def test_messages_cost_the_stores_nothing(own_stack, org):
    channel = await org.create_channel()
    publisher, listener = (
        await (await org.create_client()).connect_websocket(),
        await (await org.create_client()).connect_websocket(),
    )
    await listener.subscribe(channel=channel["channel_id"])
    # The first tells whether the channel keeps, and who listens.
    await publisher.send_and_receive("publish", "published", channel=channel["channel_id"], data=0, id=0)
    await listener.receive("message")
    await asyncio.sleep(2)
    before = await redis_calls(own_stack)
    async with Asked(own_stack) as asked:
        for number in range(MESSAGES):
            await publisher.send(type="publish", channel=channel["channel_id"], data=number, id=number)
        for _ in range(MESSAGES):
            await publisher.receive("published")
            await listener.receive("message")
    assert len(asked.operations) < BACKGROUND
    assert await redis_calls(own_stack) - before < MESSAGES / 2


async def test_a_long_list_costs_the_stores_what_a_short_one_does(own_stack, org):
    other = await (await User.sign_up(own_stack)).create_organization()
    for tenant, many in ((org, 1), (other, MANY)):
        for _ in range(many):
            await tenant.create_client()
            await tenant.create_channel()
    cost = []
    for tenant in (org, other):

        async def read(tenant=tenant):
            for _ in range(LOOKS):
                for path in ("/clients", "/channels"):
                    await tenant.call("GET", f"{path}?limit=200", 200)

        await read()
        async with Asked(own_stack) as asked:
            commands = await redis_asked(own_stack, read)
        cost.append((len(asked.operations), commands))
    for short, long in zip(*cost, strict=True):
        assert short > 0
        assert long - short < BACKGROUND < LOOKS * MANY / 2


async def test_subjects_are_remembered_by_nobody(own_stack, org):
    """Whoever writes to ever new subjects fills neither Redis nor the tables nor the broker's subscriptions."""
    publisher, listener = (
        await (await org.create_client()).connect_websocket(),
        await (await org.create_client()).connect_websocket(),
    )
    nc, board = await (await org.create_client()).connect_nats(), await org.connect_dashboard()
    await listener.subscribe(subject="once.>")
    await board.send_and_receive("subscribe_topic_preview", "subscription_confirmed")

    async def stored():
        """Whatever Redis holds, as one text."""
        redis, held = Redis(port=own_stack.ports.redis), []
        try:
            await redis.config_set("rdbcompression", "no")
            async for key in redis.scan_iter(count=1000):
                held.append(key)
                held.append(await redis.dump(key) or b"")
        finally:
            await redis.aclose()
        return b"".join(held)

    async with Asked(own_stack) as asked:
        for number in range(500):
            await publisher.send(type="publish", subject=f"once.ws{number}", data=1)
            await nc.publish(f"{org.id}.once.direct{number}", b"1")
        await eventually(lambda: len(listener.pending("message")) == 1000)

        async def counted():
            today = (await org.call("GET", "/usage/local/stats", 200))["today"]
            return today["messages"] >= 1000

        await eventually(counted)
    assert len(asked.operations) < BACKGROUND
    held = await stored()
    assert org.id.encode() in held
    assert b"once" not in held


async def test_much_and_large_breaks_no_connection(own_stack, org):
    """Two hundred messages of 200 kB: the tenant's connection to the broker holds, and all arrive."""
    publisher, listeners = await (await org.create_client()).connect_nats(), []
    for _ in range(3):
        listeners.append(await (await org.create_client()).connect_websocket())
        await listeners[-1].subscribe(subject="large")
    block = b'"' + b"x" * 200_000 + b'"'
    for number in range(200):
        await publisher.publish(f"{org.id}.large", block)
        if number % 10 == 9:
            await publisher.flush()
            await eventually(lambda n=number: all(len(s.pending("message")) == n + 1 for s in listeners))
    log = (own_stack.directory / "logs/gateway.log").read_text()
    assert re.search(r'"event": "bridge_(problem|reconnects)"', log) is None


async def test_a_burst_of_large_messages_harms_none_but_who_cannot_read_it(own_stack, org):
    """All at once, by both ways: the connection that sockets share holds, and who listens elsewhere hears all."""
    direct = await (await org.create_client()).connect_nats()
    burst, elsewhere = (
        await (await org.create_client()).connect_websocket(),
        await (await org.create_client()).connect_websocket(),
    )
    publisher, speaker = (
        await (await org.create_client()).connect_websocket(),
        await (await org.create_client()).connect_websocket(),
    )
    await burst.subscribe(subject="burst")
    await elsewhere.subscribe(subject="calm")
    before = await connections_of(org)
    assert before
    block = "x" * 200_000
    for number in range(200):
        await direct.publish(f"{org.id}.burst", f'"{block}"'.encode())
        await publisher.send(type="publish", subject="burst", data=block)
        await speaker.send(type="publish", subject="calm", data=number, id=number)
    await direct.flush()
    await eventually(lambda: len(elsewhere.pending("message")) == 200, within=60)
    assert [frame["data"] for frame in elsewhere.pending("message")] == list(range(200))
    assert [len(speaker.pending(kind)) for kind in ("published", "error")] == [200, 0]
    # Who listens to all of it hears all of it, or is told that it was too slow.
    await eventually(lambda: burst.closed or len(burst.pending("message")) == 400, within=60)
    assert burst.closed in (None, (4408, "too_slow"), (1006, ""))
    assert await publisher.send_and_receive("ping", "pong")
    assert await connections_of(org) == before


async def test_making_rsa_keys_holds_nobody_up(org):
    """Whoever asks identity for something quick is answered before it is done with all of them."""
    body = {"key_type": "rsa"}
    made = [
        asyncio.create_task(org.call("POST", "/agents", 201, json={**body, "name": f"r{n}"}))
        for n in range(6)
    ]
    await asyncio.sleep(0)
    answers = 0
    while not all(task.done() for task in made):
        answer = await org.http.post("/auth/client/challenge", json={"client_id": "x"})
        assert answer.status_code == 200
        answers += 1
    assert answers > 1
    for task in made:
        assert "PRIVATE SSH_PUBLIC_KEY" in (await task)["private_key"]


@pytest.mark.parametrize("content", [None, "", "\n", "short"])
async def test_identity_does_not_start_without_its_secrets(own_stack, tmp_path, content):
    keys = tmp_path / "keys"
    shutil.copytree(own_stack.directory / "keys", keys)
    secret = keys / "agent-token.key"
    secret.unlink()
    if content is not None:
        secret.write_text(content)
        secret.chmod(0o600)
    environ = {**own_stack.environ("identity"), "ARTCAFE_KEYS_DIR": str(keys)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "artcafe_identity"),
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(30):
            told = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode != 0
    assert "agent-token.key" in told.strip().splitlines()[-1]
    assert "Traceback" not in told
