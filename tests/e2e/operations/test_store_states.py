"""In each state of a store, every class of requests is answered as the documented table says, and counts are kept."""

import asyncio
import uuid

import httpx
import pytest

from docs.generate.store_states.redis import REDIS
from support.actors import PASSWORD, Tenant, User
from support.cleanup import close_after_test
from support.health import wait_until_healthy
from support.redis_states import redis_in
from support.waiting import eventually

# Services that report Redis in their health.
SERVICES = ("gateway", "identity", "presence", "metering")
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
        publisher, subscriber = self.sockets
        response = await self.http.post(f"{self.channel}/messages", json={"n": 1})
        await publisher.send(type="publish", subject="news", data="socket", id="p")
        await publisher.receive("published", id="p")
        await subscriber.receive("message", data="socket")
        await self.nc.publish(f"{self.org.id}.news", b'"direct"')
        await self.nc.flush()
        await subscriber.receive("message", data="direct")
        another = await self.client.connect_websocket()
        assert await another.send_and_receive("ping", "pong")
        return [response]

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


@pytest.fixture(scope="module")
async def limited_stack(new_stack):
    """A stack whose organizations have a plan with limits, which must not apply while they cannot be counted."""
    async with new_stack({"ARTCAFE_DEFAULT_PLAN": "basic"}) as stack:
        yield stack


@pytest.fixture(scope="module")
async def shared(limited_stack):
    return await Organization.create(limited_stack)


@pytest.mark.parametrize("state", REDIS.states, ids=lambda state: state.name)
async def test_requests_are_answered_as_documented(limited_stack, shared, state):
    requests = await Requests.create(limited_stack, shared)
    async with redis_in(limited_stack, state.name):
        await eventually(lambda: reports(requests.http, state.health))
        responses = await asyncio.gather(*(requests.send(route) for route in REDIS.routes))
        assert await reports(requests.http, state.health), "the state ended too early"
    differing = [
        f"{route.name}: {each.request.method} {each.request.url.path}: {each.status_code} {each.text}"
        for route, group in zip(REDIS.routes, responses, strict=True)
        for each in group
        if not is_as_documented(each, state.answers[route.name])
    ]
    assert differing == []
    await wait_until_healthy(requests.org)


async def reports(http, redis):
    """Whether the health of every service says this about Redis."""
    report = (await http.get("/health")).json()
    assert [report["services"][name]["checks"].get("redis") for name in SERVICES] == [redis] * len(SERVICES)
    return True


def is_as_documented(response, answer):
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
