"""What a plan lets through in a minute, over several gateways, and what goes on when Redis is away."""

import asyncio
import json
import os
import signal
import sys
from datetime import UTC, datetime

import httpx
import nats
import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import connect

from artcafe_common.dev.supervisor import Program
from artcafe_common.plans import LIMITS, Plan
from support.actors import PASSWORD, Socket, User, set_plan
from support.waiting import eventually

CALLS = LIMITS[Plan.FREE].api_calls_per_minute
# A bucket that empties slowly on a busy machine gets a few more meanwhile.
SOME_MORE = 60
HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


@pytest.fixture(scope="module")
async def own(new_stack):
    """Two gateway workers; strict with logins, as an installation is."""
    settings = {
        "ARTCAFE_GATEWAY_WORKERS": "2",
        "ARTCAFE_EMAIL_LOGINS_PER_MINUTE": "5",
        "ARTCAFE_ADDRESS_LOGINS_PER_MINUTE": "40",
        "ARTCAFE_ADDRESS_CALLS_PER_MINUTE": "20",
        "ARTCAFE_PERSON_CALLS_PER_MINUTE": "30",
        "ARTCAFE_KEYS_PER_HOUR": "12",
    }
    async with new_stack(settings) as running:
        yield running


@pytest.fixture
async def org(own):
    # What an earlier test used up is given back: all of them come from one address.
    async with Redis.from_url(own.endpoints["redis"]) as redis:
        async for name in redis.scan_iter("rate:login:ip:*"):
            await redis.delete(name)
    return await (await User.sign_up(own)).create_organization()


def figures(answer):
    return tuple(int(answer.headers[name]) for name in HEADERS)


def refused(answer):
    assert answer.status_code == 429
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["status"]) == ("rate_limited", 429)
    assert int(answer.headers["Retry-After"]) >= 1
    assert figures(answer)[1] == 0
    return True


async def until_refused(call, *, at_most):
    """Call again and again; how often it was let through."""
    for number in range(at_most):
        answer = await call()
        if answer.status_code == 429:
            refused(answer)
            return number
    raise AssertionError(f"{at_most} calls were let through")


async def test_a_plans_calls_are_counted_over_all_gateways(own, org):
    unlimited = await org.http.get("/clients")
    assert not any(name in unlimited.headers for name in HEADERS)
    await set_plan(org, "free")

    async def one():
        # Each over a connection of its own, so that the kernel spreads them over both workers.
        async with httpx.AsyncClient(
            base_url=org.http.base_url, headers=org.http.headers, timeout=20
        ) as http:
            return await http.get("/channels")

    first = await eventually(lambda: _limited(one))
    limit, remaining, reset = figures(first)
    assert (limit, remaining) == (CALLS, CALLS - 1)
    assert 1 <= reset <= 60
    answers = [
        a for _ in range(8) for a in await asyncio.gather(*(one() for _ in range((CALLS + SOME_MORE) // 8)))
    ]
    passed = [a for a in answers if a.status_code == 200]
    assert CALLS - 1 <= len(passed) < len(answers)
    for answer in answers:
        assert figures(answer)[0] == CALLS
        assert answer.status_code == 200 or refused(answer)
    # Errors of a limited route tell it, too, and it is the organization's whole API that is limited.
    assert refused(await org.http.get("/usage/current"))
    assert refused(await org.http.post("/clients", json={"name": "x"}))
    # Others are not touched, nor are those who look after the system.
    other = await (await User.sign_up(own)).create_organization()
    assert (await other.http.get("/channels")).status_code == 200
    for path in ("/health", "/health/live", "/health/ready", "/metrics"):
        answer = await org.http.get(path)
        assert answer.status_code == 200
        assert not any(name in answer.headers for name in HEADERS)
    # Another plan is felt at once.
    await set_plan(org, "enterprise")
    await eventually(lambda: _passes(one))


async def _limited(call):
    answer = await call()
    return answer if HEADERS[0] in answer.headers else None


async def _passes(call):
    return (await call()).status_code == 200


async def test_a_refused_call_changes_nothing_and_errors_tell_what_is_left(org):
    await set_plan(org, "free")
    missing = await eventually(lambda: _limited(lambda: org.http.get("/clients/nobody")))
    assert missing.status_code == 404
    assert figures(missing)[0] == CALLS
    await until_refused(lambda: org.http.get("/clients"), at_most=CALLS + SOME_MORE)
    assert refused(await org.http.post("/channels", json={"name": "never"}))
    await set_plan(org, "enterprise")
    channels = await eventually(lambda: _json(org, "/channels"))
    assert channels["channels"] == []


async def _json(org, path):
    answer = await org.http.get(path)
    return answer.json() if answer.status_code == 200 else None


async def test_logins_are_limited_by_address_of_mail_and_of_network(own, org):
    http = org.owner.http
    other = await User.sign_up(own)

    async def login(email, password):
        return await http.post("/auth/login", json={"email": email, "password": password})

    # Whoever guesses is stopped, however the address is spelled; then the right one helps no more.
    spellings = iter([org.owner.email, org.owner.email.upper(), f" {org.owner.email}"] * 10)
    tried = await until_refused(lambda: login(next(spellings), "wrong"), at_most=20)
    assert tried >= 3
    assert refused(await login(org.owner.email, PASSWORD))
    # That stops nobody else,
    assert (await login(other.email, PASSWORD)).status_code == 200
    # until it is the network that guesses.
    names = iter(range(1000))
    await until_refused(lambda: login(f"guess-{next(names)}@example.com", "x"), at_most=100)


async def test_other_calls_without_an_organization_are_limited(own, org):
    async def challenge():
        return await org.owner.http.post("/auth/client/challenge", json={"client_id": "somebody"})

    assert await until_refused(challenge, at_most=60) >= 19
    assert refused(await org.owner.http.post("/auth/refresh", json={"refresh_token": "x"}))
    assert await until_refused(lambda: org.owner.http.get("/accounts"), at_most=90) >= 28
    # What they do for an organization is another matter.
    assert (await org.http.get("/clients")).status_code == 200


async def test_new_keys_of_every_kind_count_together(own, org):
    client = (await org.create_client()).id
    await org.call("POST", f"/accounts/generate-nkey/{org.id}", 201)
    for _ in range(5):
        await org.call("POST", f"/clients/{client}/regenerate-nkey", 200)
    answers = await asyncio.gather(*(org.http.post("/clients", json={"name": f"c{n}"}) for n in range(10)))
    assert sorted(a.status_code for a in answers) == [201] * 5 + [429] * 5
    for path in (f"/clients/{client}/regenerate-nkey", f"/accounts/generate-nkey/{org.id}"):
        answer = await org.http.post(path)
        assert (answer.status_code, answer.json()["code"]) == (429, "key_rate_exceeded")
        assert int(answer.headers["Retry-After"]) > 60
    # A key that was refused is no answer to keep: it may be asked for again.
    once = {"Idempotency-Key": "a key"}
    for _ in range(2):
        answer = await org.http.post("/clients", json={"name": "later"}, headers=once)
        assert answer.status_code == 429
        assert "Idempotency-Replayed" not in answer.headers
    assert len((await org.call("GET", "/clients", 200))["clients"]) == 6
    assert (await (await User.sign_up(own)).create_organization()) is not None


async def test_without_redis_calls_go_on_and_new_keys_wait(own, org):
    await set_plan(org, "basic")
    client = (await org.create_client()).id
    before = _logged(own, "redis_unavailable")
    await own.supervisor.stop("redis")
    try:
        report = await eventually(lambda: _degraded(org))
        assert report["services"]["gateway"]["checks"] == {"nats": "ok", "redis": "Redis did not respond"}
        assert (await org.http.get("/health/ready")).status_code == 200
        for _ in range(30):
            answer = await org.http.get("/channels")
            assert answer.status_code == 200
            assert HEADERS[0] not in answer.headers
        for path, body in (
            ("/clients", {"name": "unlimited"}),
            (f"/clients/{client}/regenerate-nkey", None),
            (f"/accounts/generate-nkey/{org.id}", None),
        ):
            answer = await org.http.post(path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable"), path
        # Rather refused than done twice.
        answer = await org.http.post(
            "/channels", json={"name": "once"}, headers={"Idempotency-Key": "while away"}
        )
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert (await org.call("GET", "/channels", 200))["channels"] == []
        await org.create_channel("without a key")
        # Once by each worker that was asked.
        assert _logged(own, "redis_unavailable") - before in (1, 2)
    finally:
        own.start("redis")
    await eventually(lambda: _limited(lambda: org.http.get("/channels")))
    await eventually(lambda: _when_ok(org), within=30)
    await org.create_client("at last")
    assert len((await org.call("GET", "/clients", 200))["clients"]) == 2


async def test_a_redis_that_hangs_holds_nobody_up(own, org):
    await set_plan(org, "basic")
    await eventually(lambda: _limited(lambda: org.http.get("/channels")))
    pid = own.supervisor.pid("redis")
    os.kill(pid, signal.SIGSTOP)
    try:
        answers = await asyncio.gather(*(org.http.get("/channels") for _ in range(40)))
        assert {a.status_code for a in answers} == {200}
        assert (await org.http.post("/clients", json={"name": "x"})).status_code == 503
        answer = await org.http.post("/channels", json={"name": "x"}, headers={"Idempotency-Key": "hung"})
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    finally:
        os.kill(pid, signal.SIGCONT)
    await eventually(lambda: _limited(lambda: org.http.get("/channels")))


def _logged(own, event):
    """How often the gateway's workers logged something."""
    lines = (own.directory / "logs/gateway.log").read_text().splitlines()
    found = [line for line in lines if f'"{event}"' in line]
    assert all(json.loads(line)["service"] == "gateway" for line in found)
    return len(found)


async def _degraded(org):
    answer = await org.http.get("/health")
    report = answer.json()
    gateway = report["services"]["gateway"]["status"]
    return (
        report if (answer.status_code, gateway, report["status"]) == (200, "degraded", "degraded") else None
    )


async def _when_ok(org):
    return (await org.http.get("/health")).json()["status"] == "ok"


# -- connections and the month's messages ----------------------------------------------------------


async def turned_away(agent):
    """Connect, and be told that the plan has no more places."""
    url = agent.connection["websocket_url"]
    ws = await connect(url, compression=None)
    socket = Socket(ws)
    challenge = await socket.receive("challenge")
    await socket.send(type="auth", **agent.sign_nonce(challenge["nonce"]))
    assert (await socket.receive("error"))["code"] == "plan_limit"
    assert await socket.wait_closed() == (1013, "plan_limit")
    return True


async def welcomed(agent):
    """A socket, or None when there is no place for it."""
    try:
        return await agent.connect_websocket()
    except ConnectionError as error:
        if "(1013, 'plan_limit')" in str(error):
            return None
        raise


async def test_connections_of_a_plan_are_counted_over_all_gateways_and_transports(own, org):
    agent, places = await org.create_client(), LIMITS[Plan.FREE].connections
    await set_plan(org, "free")
    direct = await agent.connect_nats()
    await eventually(lambda: _connections(org, agent, 1))
    # Many at once for the places that are left: as many win as there are places.
    sockets = await asyncio.gather(*(welcomed(agent) for _ in range(4 * places)))
    won = [socket for socket in sockets if socket]
    assert len(won) == places - 1
    await eventually(lambda: _connections(org, agent, places))
    assert await turned_away(agent)
    # Those that are in are not disturbed, and one that leaves makes room, whatever its transport.
    assert all([await socket.send_and_receive("ping", "pong") for socket in won])
    await won.pop().close()
    won.append(await eventually(lambda: welcomed(agent)))
    await direct.close()
    won.append(await eventually(lambda: welcomed(agent)))
    assert await turned_away(agent)
    # Who only looks on takes no place, and another organization has its own.
    await org.connect_dashboard()
    other = await (await User.sign_up(own)).create_organization()
    await (await other.create_client()).connect_websocket()
    await set_plan(org, "basic")
    await eventually(lambda: welcomed(agent))


async def test_a_killed_gateway_leaves_no_place_taken(own, org):
    agent, places = await org.create_client(), LIMITS[Plan.FREE].connections
    await set_plan(org, "free")
    sockets = [await eventually(lambda: welcomed(agent)) for _ in range(places)]
    assert await turned_away(agent)
    own.supervisor.kill("gateway")
    for socket in sockets:
        await socket.wait_closed()
    await eventually(lambda: _up(org), within=30)
    for _ in range(places):
        await eventually(lambda: _tried(agent), within=30, every=0.3)
    assert await turned_away(agent)


async def test_without_presence_sockets_are_let_in(own, org):
    agent = await org.create_client()
    await set_plan(org, "free")
    await agent.connect_websocket()
    await own.supervisor.stop("presence")
    try:
        for _ in range(LIMITS[Plan.FREE].connections):
            await agent.connect_websocket()
    finally:
        own.start("presence")
    await eventually(lambda: _when_ok(org), within=30)


async def _tried(agent):
    try:
        return await welcomed(agent)
    except (OSError, ConnectionError):
        return None


async def _up(org):
    try:
        return (await org.http.get("/health/ready")).status_code == 200
    except httpx.HTTPError:
        return None


async def _connections(org, agent, count):
    answer = await org.http.get(f"/clients/{agent.id}/status")
    return answer.status_code == 200 and len(answer.json()["connections"]) == count


@pytest.fixture
async def crossings(own):
    """Every QuotaCrossed that is announced."""
    nc = await nats.connect(
        own.environ()["NATS_URL"],
        user_credentials=str(own.directory / "keys/presence.creds"),
        inbox_prefix=b"_INBOX_presence",
    )
    heard = []

    async def hear(message):
        heard.append(json.loads(message.data))

    await nc.subscribe("artcafe.events.quota.crossed", cb=hear)
    await nc.flush()
    yield heard
    await nc.close()


async def used_up(own, org, messages):
    """So many messages were published this month, as far as metering is concerned."""
    month = f"{datetime.now(UTC):%Y%m}"
    async with Redis.from_url(own.endpoints["redis"]) as redis:
        await redis.hset(f"stats:m:{month}:{org.id}", "messages", messages)


@pytest.fixture
async def second_metering(own):
    """Another instance, which sees and applies what the first one does."""
    program = Program(
        name="metering-2",
        command=[sys.executable, "-m", "artcafe_metering"],
        environ=own.environ("metering-2"),
        log=own.directory / "logs/metering-2.log",
    )
    own.supervisor.start(program)
    await eventually(lambda: program.log.exists() and '"ready"' in program.log.read_text(), within=30)
    yield
    await own.supervisor.stop(program.name)


async def test_the_months_messages_are_all_there_are(own, org, crossings, second_metering):
    allowed = LIMITS[Plan.FREE].messages_per_month
    agent, listener = await org.create_client(), await org.create_client()
    channel = (await org.create_channel())["channel_id"]
    await set_plan(org, "free")
    socket, heard = await agent.connect_websocket(), await listener.connect_websocket()
    await heard.subscribe(subject="all")
    percents = lambda: [each["percent"] for each in crossings if each["tenant_id"] == org.id]  # noqa: E731

    await used_up(own, org, allowed * 8 // 10 - 1)
    await socket.send_and_receive("publish", "published", subject="all", data=0, id=1)
    await eventually(lambda: percents() == [80])
    # Most of it is not all of it.
    await socket.send_and_receive("publish", "published", subject="all", data=1, id=2)
    await used_up(own, org, allowed - 1)
    await socket.send_and_receive("publish", "published", subject="all", data=2, id=3)
    await eventually(lambda: percents() == [80, 100])
    crossed = crossings[-1]
    assert crossed["used"] >= crossed["limit"] == allowed

    async def refused_over_websocket():
        await socket.send(type="publish", subject="all", data="too many", id="x")
        while not socket.pending("published") and not socket.pending("error"):
            await asyncio.sleep(0.01)
        error = next(iter(socket.pending("error")), None)
        socket._pending.clear()
        return error

    error = await eventually(refused_over_websocket)
    assert (error["code"], error["id"]) == ("quota_exceeded", "x")
    assert error["retry_after_ms"] > 0
    await socket.send(type="request", subject="all", data=1, id="r")
    assert (await socket.receive("error", id="r"))["code"] == "quota_exceeded"

    async def refused_over_rest():
        answer = await org.http.post(f"/channels/{channel}/messages", json={"n": 1})
        return answer if answer.status_code == 429 else None

    answer = await eventually(refused_over_rest)
    assert answer.json()["code"] == "quota_exceeded"
    assert int(answer.headers["Retry-After"]) > 0
    # Reading goes on, and a gateway or metering that starts anew knows it, too.
    assert await socket.send_and_receive("ping", "pong")
    await own.supervisor.stop("metering")
    own.start("metering")
    await own.supervisor.stop("gateway")
    own.start("gateway")
    await eventually(lambda: _up(org), within=30)
    await eventually(lambda: _when_ok(org), within=30)
    assert (await refused_over_rest()) is not None
    socket, heard = await agent.connect_websocket(), await listener.connect_websocket()
    await heard.subscribe(subject="all")
    assert await refused_over_websocket()
    # A larger plan lifts it at once, and its own four fifths are another matter.
    await set_plan(org, "basic")
    await eventually(lambda: _refused_no_more(refused_over_websocket))
    await socket.send_and_receive("publish", "published", subject="all", data="at last", id=9)
    await eventually(lambda: any(frame["data"] == "at last" for frame in heard.pending("message")))
    assert percents() == [80, 100]
    await used_up(own, org, LIMITS[Plan.BASIC].messages_per_month * 9 // 10)
    await socket.send_and_receive("publish", "published", subject="all", data="more", id=10)
    await eventually(lambda: percents() == [80, 100, 80])

    async def told():
        logs = (await org.call("GET", "/activity/logs?type=quota", 200))["logs"]
        seen = [(each["action"], each["metadata"]["percent"]) for each in reversed(logs)]
        return seen == [("quota.crossed", percent) for percent in percents()]

    await eventually(told)


async def _refused_no_more(attempt):
    return await attempt() is None
