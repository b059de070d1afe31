"""In each state of a store, every class of requests is answered as the documented table says, and counts are kept."""

import asyncio
import uuid

import httpx
import pytest

from docs.generate.store_states.dynamodb import DYNAMODB
from docs.generate.store_states.redis import REDIS
from support.actors import PASSWORD, SocketClosed, Tenant, User
from support.cleanup import close_after_test
from support.dynamo_states import dynamodb_in
from support.faulty_stack import QuietStack
from support.health import wait_until_healthy
from support.redis_states import redis_in
from support.stack import running_stack
from support.tokens import decode_claims
from support.waiting import eventually

# Services that report the store in their health.
WITH_REDIS = ("gateway", "identity", "presence", "metering")
WITH_DYNAMODB = ("identity", "tenancy", "presence", "metering")
NOT_LIMITED = "not limited"
# The messages of one `messages`, over REST, WebSocket and NATS.
MESSAGES = 3


class Organization:
    """What the tests share: a user, an organization, its clients and a channel. Connections are of one test."""

    def __init__(self, org, clients, channel):
        self.email, self.token, self.account = org.owner.email, org.owner.token, org.account
        self.clients = clients
        self.channel = f"/channels/{channel['channel_id']}"

    @classmethod
    async def create(cls, stack):
        org = await (await User.sign_up(stack)).create_organization()
        return cls(org, [await org.create_client() for _ in range(2)], await org.create_channel())

    def connect(self, stack):
        """The organization with a new HTTP client."""
        http = httpx.AsyncClient(
            base_url=f"{stack.api}/api/v1", timeout=20, headers={"Authorization": f"Bearer {self.token}"}
        )
        close_after_test(http, http.aclose)
        return Tenant(User(stack, self.email, http, self.token), self.account)


class Requests:
    """Sends the requests of each class of routes."""

    def __init__(self, org, shared, nc, sockets):
        self.org = org
        self.http = org.http
        self.client, self.other = shared.clients
        self.channel = shared.channel
        self.nc = nc
        self.sockets = sockets

    @classmethod
    async def create(cls, stack, shared):
        client = shared.clients[0]
        sockets = [await client.connect_websocket() for _ in range(2)]
        await sockets[1].subscribe(subject="news")
        return cls(shared.connect(stack), shared, await client.connect_nats(), sockets)

    async def send(self, route):
        """The responses to the requests of a class; what is not HTTP raises if it fails."""
        return await getattr(self, f"send_{route.name.replace(' ', '_')}")()

    async def send_sign_in(self):
        body = {"email": self.org.owner.email, "password": PASSWORD}
        return [await self.org.owner.http.post("/auth/login", json=body)]

    async def send_calls(self):
        paths = ("/clients", f"/clients/{self.client.id}", "/channels", "/accounts", "/activity/logs")
        return await asyncio.gather(
            *(self.http.get(path) for path in paths),
            self.http.post("/channels", json={"name": uuid.uuid4().hex}),
            self.http.put(self.channel, json={"description": uuid.uuid4().hex}),
        )

    async def send_messages(self):
        response = await self.http.post(f"{self.channel}/messages", json={"n": 1})
        await self.exchange_messages()
        another = await self.client.connect_websocket()
        assert await another.send_and_receive("ping", "pong")
        return [response]

    async def exchange_messages(self):
        publisher, subscriber = self.sockets
        await publisher.send(type="publish", subject="news", data="socket", id="p")
        await publisher.receive("published", id="p")
        await subscriber.receive("message", data="socket")
        await self.nc.publish(f"{self.org.id}.news", b'"direct"')
        await self.nc.flush()
        await subscriber.receive("message", data="direct")

    async def send_new_keys(self):
        return await asyncio.gather(
            self.http.post(f"/clients/{self.other.id}/regenerate-nkey"),
            self.http.post(f"/accounts/generate-nkey/{self.org.id}"),
            self.http.post("/clients", json={"name": uuid.uuid4().hex}),
        )

    async def send_idempotent(self):
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        return [await self.http.post("/channels", json={"name": uuid.uuid4().hex}, headers=headers)]

    async def send_usage(self):
        paths = ("/usage/current", "/usage/metrics", "/usage/local/stats")
        return await asyncio.gather(*(self.http.get(path) for path in paths))

    async def send_presence(self):
        return [await self.http.get(f"/clients/{self.client.id}/status")]


class DynamoRequests(Requests):
    """Sends the requests of each class of routes of DynamoDB's table."""

    async def send_reads(self):
        paths = (
            "/clients",
            f"/clients/{self.client.id}",
            f"/clients/{self.client.id}/status",
            "/channels",
            "/accounts",
            "/activity/logs",
            "/profile/me",
            "/usage/current",
        )
        return await asyncio.gather(*(self.http.get(path) for path in paths))

    async def send_changes(self):
        name = uuid.uuid4().hex
        return await asyncio.gather(
            self.http.post("/channels", json={"name": name}),
            self.http.put(self.channel, json={"description": name}),
            self.http.put("/profile/me", json={"name": name}),
            self.http.post(f"/clients/{self.other.id}/regenerate-nkey"),
            self.http.post(f"/accounts/generate-nkey/{self.org.id}"),
        )

    async def send_known(self):
        paths = ("/usage/metrics", "/usage/local/stats")
        return await asyncio.gather(
            self.http.post(f"{self.channel}/messages", json={"n": 1}),
            *(self.http.get(path) for path in paths),
        )

    async def send_messages(self):
        await self.exchange_messages()
        return []

    async def send_connections(self):
        socket = await self.client.connect_websocket()
        assert await socket.send_and_receive("ping", "pong")
        await (await self.client.connect_nats()).flush()
        return []

    async def send_first_connections(self):
        try:
            await self.new_client.connect_websocket()
        except SocketClosed as error:
            return [error]
        return []


@pytest.fixture(scope="module")
async def limited_stack(tmp_path_factory):
    """A stack whose organizations have a plan with limits, which must not apply while they cannot be counted."""
    directory, settings = tmp_path_factory.mktemp("stack"), {"ARTCAFE_DEFAULT_PLAN": "basic"}
    async with running_stack(directory, settings, kind=QuietStack) as stack:
        yield stack


@pytest.fixture(scope="module")
async def shared(limited_stack):
    return await Organization.create(limited_stack)


@pytest.fixture(scope="module")
async def lasting(limited_stack):
    """As `shared`, for the states of DynamoDB."""
    return await Organization.create(limited_stack)


@pytest.mark.parametrize("state", REDIS.states, ids=lambda state: state.name)
async def test_requests_are_answered_as_documented(limited_stack, shared, state):
    requests = await Requests.create(limited_stack, shared)
    async with redis_in(limited_stack, state.name):
        await eventually(lambda: reports(requests.http, WITH_REDIS, "redis", state.health))
        await send_all(requests, REDIS, state)
        assert await reports(requests.http, WITH_REDIS, "redis", state.health), "the state ended too early"
    await wait_until_healthy(requests.org)


@pytest.mark.parametrize("state", DYNAMODB.states, ids=lambda state: state.name)
async def test_requests_are_answered_as_documented_with_dynamodb(limited_stack, lasting, state):
    member, clients = await add_unknown(limited_stack, lasting)
    requests = await DynamoRequests.create(limited_stack, member)
    requests.new_client = clients[1]
    for response in await requests.send_known():
        assert response.is_success, response.text
    async with dynamodb_in(limited_stack, state.name):
        await eventually(lambda: reports(requests.http, WITH_DYNAMODB, "dynamodb", state.health))
        await send_all(requests, DYNAMODB, state)
        assert await reports(requests.http, WITH_DYNAMODB, "dynamodb", state.health)
    await wait_until_healthy(requests.org)
    for client in clients:
        await requests.org.call("DELETE", f"/clients/{client.id}", 200)


async def add_unknown(stack, shared):
    """A new member of the organization with a new client and channel, of which nothing is cached; a second new client."""
    org = shared.connect(stack)
    user = await User.sign_up(stack)
    body = {"user_id": decode_claims(user.token)["sub"], "role": "admin"}
    await org.call("POST", f"/accounts/{org.id}/members", 201, json=body)
    clients = [await org.create_client() for _ in range(2)]
    member = Organization(
        Tenant(user, org.account), [clients[0], shared.clients[1]], await org.create_channel()
    )
    return member, clients


async def send_all(requests, table, state):
    """Send the requests of every class, and compare the responses with the table."""
    responses = await asyncio.gather(*(requests.send(route) for route in table.routes))
    differing = [
        f"{route.name}: {describe(each)}"
        for route, group in zip(table.routes, responses, strict=True)
        for each in group or [None]
        if not is_as_documented(each, state.answers[route.name])
    ]
    assert differing == []


def describe(response):
    if isinstance(response, httpx.Response):
        request = response.request
        return f"{request.method} {request.url.path}: {response.status_code} {response.text}"
    return response or "connected"


async def reports(http, services, store, health):
    """Whether the health of each of the services says this about a store."""
    report = (await http.get("/health")).json()
    assert [report["services"][name]["checks"].get(store) for name in services] == [health] * len(services)
    return True


def is_as_documented(response, answer):
    if response is None:
        return answer.is_usual
    if isinstance(response, SocketClosed):
        return (response.code, response.reason) == (answer.status, answer.code)
    if not answer.is_usual:
        problem = (response.status_code, response.json().get("code"))
        return (
            problem == (answer.status, answer.code)
            and ("Retry-After" in response.headers) == answer.retry_after
        )
    is_limited = "RateLimit-Limit" in response.headers
    return response.is_success and not (is_limited and answer.effect == NOT_LIMITED)


async def test_what_was_published_in_each_state_is_counted_once(limited_stack, shared):
    http = shared.connect(limited_stack).http

    async def used():
        return (await http.get("/usage/current")).json()["messages"]["used"]

    # A batch that could not be counted is delivered again after 30 s at most.
    await eventually(lambda: is_number(used, MESSAGES * len(REDIS.states)), within=45, every=0.3)
    await asyncio.sleep(1)
    assert await used() == MESSAGES * len(REDIS.states)


async def is_number(read, expected):
    number = await read()
    assert number == expected
    return True
