"""`Idempotency-Key`: a repeated request is executed once and gets the same response."""

import asyncio
import uuid

import httpx
import pytest
from redis.asyncio import Redis

from artcafe_common.key_ring import KeyRing
from artcafe_common.storage.redis_client import RedisClient
from artcafe_gateway.http import idempotency_store
from artcafe_gateway.http.idempotency_store import (
    IdempotencyClaim,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    IdempotencyStore,
    StoredResponse,
)
from support.actors import Tenant, User
from support.tokens import decode_claims
from support.waiting import eventually, eventually_equals


def new_key():
    """A request header with a new key."""
    return {"Idempotency-Key": f"order {uuid.uuid4()}"}


def is_replayed(response):
    return response.headers.get("Idempotency-Replayed") == "true"


async def list_names(tenant, what="clients"):
    return [each["name"] for each in (await tenant.call("GET", f"/{what}", 200))[what]]


async def test_repeated_request_gets_the_first_response(tenant):
    headers = new_key()
    first = await tenant.http.post("/channels", json={"name": "one"}, headers=headers)
    assert first.status_code == 201
    assert not is_replayed(first)
    for path in ("/channels", "/channels/"):
        again = await tenant.http.post(path, json={"name": "one"}, headers=headers)
        assert is_replayed(again)
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers["Content-Type"] == first.headers["Content-Type"]
        assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    await eventually_equals(lambda: list_names(tenant, "channels"), ["one"])
    # A new key is a new request.
    other = await tenant.http.post("/channels", json={"name": "two"}, headers=new_key())
    assert not is_replayed(other)
    await eventually_equals(lambda: list_names(tenant, "channels"), ["one", "two"])


async def test_concurrent_requests_are_executed_once(tenant):
    headers = new_key()
    responses = await asyncio.gather(
        *(tenant.http.post("/channels", json={"name": "one"}, headers=headers) for _ in range(12))
    )
    assert {a.status_code for a in responses} == {201}
    assert len({a.content for a in responses}) == 1
    assert sorted(map(is_replayed, responses)) == [False] + [True] * 11
    await eventually_equals(lambda: list_names(tenant, "channels"), ["one"])


async def test_key_cannot_be_reused_for_another_request(tenant):
    headers = new_key()
    await tenant.http.post("/channels", json={"name": "one"}, headers=headers)
    for path, body in (
        ("/channels", {"name": "two"}),
        ("/channels?x=1", {"name": "one"}),
        ("/clients", {"name": "one"}),
    ):
        response = await tenant.http.post(path, json=body, headers=headers)
        assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
    await eventually_equals(lambda: list_names(tenant, "channels"), ["one"])
    assert await list_names(tenant) == []


async def test_key_is_scoped_to_organization_and_user(stack, tenant, other_tenant):
    headers = new_key()
    own = await tenant.http.post("/channels", json={"name": "one"}, headers=headers)
    foreign = await other_tenant.http.post("/channels", json={"name": "one"}, headers=headers)
    assert foreign.status_code == 201
    assert not is_replayed(foreign)
    assert own.json()["channel_id"] != foreign.json()["channel_id"]
    # Another member of the organization does not get the stored response.
    colleague = await User.sign_up(stack)
    user_id = decode_claims(colleague.token)["sub"]
    member = {"user_id": user_id, "email": colleague.email, "role": "member"}
    await tenant.call("POST", f"/accounts/{tenant.id}/members", 201, json=member)
    response = await Tenant(colleague, tenant.account).http.post(
        "/channels", json={"name": "one"}, headers=headers
    )
    assert (response.status_code, response.json()["code"]) == (409, "name_taken")
    assert not is_replayed(response)
    # Authorization is checked before stored responses are returned.
    other_tenant.http.headers["X-Tenant-Id"] = tenant.id
    response = await other_tenant.http.post("/channels", json={"name": "one"}, headers=headers)
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    anonymous = await tenant.http.post(
        "/channels", json={"name": "one"}, headers={**headers, "Authorization": "Bearer x"}
    )
    assert anonymous.status_code == 401


async def test_repeated_account_creation_creates_one_account(stack):
    user, headers = await User.sign_up(stack), new_key()
    first = await user.http.post("/accounts", json={"name": "One"}, headers=headers)
    again = await user.http.post("/accounts", json={"name": "One"}, headers=headers)
    assert (first.status_code, again.content) == (201, first.content)
    assert is_replayed(again)
    assert len((await user.http.get("/accounts")).json()["accounts"]) == 1


async def test_repeated_publish_publishes_once(tenant):
    channel, headers = (await tenant.create_channel())["channel_id"], new_key()
    subscriber = await (await tenant.create_client()).connect_websocket()
    await subscriber.subscribe(channel=channel)
    path = f"/channels/{channel}/messages"
    first = await tenant.http.post(path, json={"n": 1}, headers=headers)
    again = await tenant.http.post(path, json={"n": 1}, headers=headers)
    assert (first.status_code, again.status_code, again.json()) == (202, 202, first.json())
    await tenant.http.post(path, json={"n": 2})
    await eventually(lambda: len(subscriber.pending("message")) == 2)
    assert [frame["data"] for frame in subscriber.pending("message")] == [{"n": 1}, {"n": 2}]


async def test_error_responses_are_not_stored(stack, tenant):
    taken, headers = await tenant.create_channel("taken"), new_key()
    response = await tenant.http.post("/channels", json={"name": "taken"}, headers=headers)
    assert (response.status_code, response.json()["code"]) == (409, "name_taken")
    # Nothing was changed, so the repetition is executed.
    await tenant.call("DELETE", f"/channels/{taken['channel_id']}", 200)
    response = await tenant.http.post("/channels", json={"name": "taken"}, headers=headers)
    assert (response.status_code, is_replayed(response)) == (201, False)
    # However large the errors are, they cost no memory.
    async with Redis.from_url(stack.endpoints["redis"]) as redis:
        before = await redis.dbsize()
        fields = {f"unknown {number}": number for number in range(300)}
        responses = [await tenant.http.post("/channels", json=fields, headers=new_key()) for _ in range(30)]
        assert {each.status_code for each in responses} == {400}
        assert await redis.dbsize() - before < 10
    too_large = await tenant.http.post("/channels", content=b"x" * (3 * 1024 * 1024), headers=new_key())
    assert (too_large.status_code, too_large.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    "values", [[b""], [b"x" * 256], [b"caf\xe9"], [b"tab\there"], [b"one", b"two"]], ids=str
)
async def test_invalid_keys_are_rejected(tenant, values):
    headers = [*tenant.http.headers.raw, *((b"Idempotency-Key", value) for value in values)]
    response = await tenant.http.post("/channels", json={"name": "x"}, headers=httpx.Headers(headers))
    assert (response.status_code, response.json()["code"]) == (400, "invalid_request")
    assert response.json()["errors"][0]["field"] == "Idempotency-Key"
    assert await list_names(tenant, "channels") == []


async def test_key_is_ignored_by_routes_that_create_nothing(tenant):
    headers = new_key()
    channel = await tenant.create_channel()
    for _ in range(2):
        response = await tenant.http.put(
            f"/channels/{channel['channel_id']}", json={"description": "x"}, headers=headers
        )
        assert (response.status_code, is_replayed(response)) == (200, False)
        response = await tenant.http.post(
            "/auth/login", json={"email": "a@b.example", "password": "x"}, headers=headers
        )
        assert (response.status_code, is_replayed(response)) == (401, False)


async def test_stored_responses_are_encrypted(stack, tenant):
    headers = new_key()
    created = (await tenant.http.post("/channels", json={"name": "a name"}, headers=headers)).json()
    async with Redis.from_url(stack.endpoints["redis"]) as redis:
        keys = [name async for name in redis.scan_iter("answer:*")]
        assert keys
        for name in keys:
            value = await redis.get(name)
            for secret in (created["channel_id"], headers["Idempotency-Key"], "a name"):
                assert secret.encode() not in name + value
            assert 0 < await redis.ttl(name) <= 24 * 3600
    again = await tenant.http.post("/channels", json={"name": "a name"}, headers=headers)
    assert again.json() == created


@pytest.fixture
async def store(stack):
    redis = RedisClient(stack.endpoints["redis"])
    yield IdempotencyStore(redis, KeyRing.of(b"k" * 32))
    await redis.close()


async def test_request_in_progress_is_awaited_for_a_limited_time(store, monkeypatch):
    request = {"owner": "t|u", "key": str(uuid.uuid4()), "request": b"POST"}
    claim = await store.claim(**request)
    assert isinstance(claim, IdempotencyClaim)
    waiting = asyncio.create_task(store.claim(**request))
    # Long enough for the second request to find the claim.
    await asyncio.sleep(0.1)
    response = StoredResponse(status=201, headers=[(b"a", b"b")], body=b"{}")
    await store.complete(claim, response)
    assert await waiting == response
    # After the limit the caller gets an error. A cancelled claim can be acquired again.
    monkeypatch.setattr(idempotency_store, "WAIT_S", 0.2)
    request["key"] = str(uuid.uuid4())
    claim = await store.claim(**request)
    with pytest.raises(IdempotencyInProgress) as raised:
        await store.claim(**request)
    assert raised.value.retry_after_s
    with pytest.raises(IdempotencyKeyReused):
        await store.claim(**{**request, "request": b"other"})
    await store.release(claim)
    assert isinstance(await store.claim(**request), IdempotencyClaim)


async def test_expired_claim_does_not_overwrite_a_newer_one(store, monkeypatch):
    monkeypatch.setattr(idempotency_store, "CLAIM_TTL_S", 0.05)
    request = {"owner": "t|u", "key": str(uuid.uuid4()), "request": b"POST"}
    late = await store.claim(**request)
    # The claim expires.
    await asyncio.sleep(0.1)
    second = await store.claim(**request)
    assert isinstance(second, IdempotencyClaim)
    await store.complete(second, StoredResponse(status=201, headers=[], body=b"second"))
    await store.complete(late, StoredResponse(status=201, headers=[], body=b"late"))
    await store.release(late)
    assert (await store.claim(**request)).body == b"second"
