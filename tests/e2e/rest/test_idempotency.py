"""`Idempotency-Key`: the same request is done once and answered the same, whoever listens in between."""

import asyncio
import uuid

import httpx
import pytest
from redis.asyncio import Redis

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
from support.waiting import eventually


def key():
    return {"Idempotency-Key": f"order {uuid.uuid4()}"}


def replayed(answer):
    return answer.headers.get("Idempotency-Replayed") == "true"


async def names(tenant, what="clients"):
    return [each["name"] for each in (await tenant.call("GET", f"/{what}", 200))[what]]


async def test_the_same_request_gets_the_first_answer_again(tenant):
    once = key()
    first = await tenant.http.post("/clients", json={"name": "one"}, headers=once)
    assert first.status_code == 201
    assert not replayed(first)
    for path in ("/clients", "/clients/"):
        again = await tenant.http.post(path, json={"name": "one"}, headers=once)
        assert replayed(again)
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers["Content-Type"] == first.headers["Content-Type"]
        assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    assert await names(tenant) == ["one"]
    # The seed in it is the one that works.
    other = await tenant.http.post("/clients", json={"name": "two"}, headers=key())
    assert not replayed(other)
    assert sorted(await names(tenant)) == ["one", "two"]


async def test_many_at_once_are_one(tenant):
    once = key()
    answers = await asyncio.gather(
        *(tenant.http.post("/channels", json={"name": "one"}, headers=once) for _ in range(12))
    )
    assert {a.status_code for a in answers} == {201}
    assert len({a.content for a in answers}) == 1
    assert sorted(map(replayed, answers)) == [False] + [True] * 11
    assert await names(tenant, "channels") == ["one"]


async def test_a_key_belongs_to_one_request(tenant):
    once = key()
    await tenant.http.post("/channels", json={"name": "one"}, headers=once)
    for path, body in (
        ("/channels", {"name": "two"}),
        ("/channels?x=1", {"name": "one"}),
        ("/clients", {"name": "one"}),
    ):
        answer = await tenant.http.post(path, json=body, headers=once)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert await names(tenant, "channels") == ["one"]
    assert await names(tenant) == []


async def test_a_key_is_its_organizations_and_its_users_own(stack, tenant, other_tenant):
    once = key()
    mine = await tenant.http.post("/channels", json={"name": "one"}, headers=once)
    theirs = await other_tenant.http.post("/channels", json={"name": "one"}, headers=once)
    assert theirs.status_code == 201
    assert not replayed(theirs)
    assert mine.json()["channel_id"] != theirs.json()["channel_id"]
    # A colleague's is not mine either: what I was told may be none of theirs.
    colleague = await User.sign_up(stack)
    me = (await colleague.http.post("/accounts", json={"name": "Own"})).json()
    members = await Tenant(colleague, me).call("GET", f"/accounts/{me['account_id']}/members", 200)
    joined = {"user_id": members["members"][0]["user_id"], "email": colleague.email, "role": "member"}
    await tenant.call("POST", f"/accounts/{tenant.id}/members", 201, json=joined)
    seen = await Tenant(colleague, tenant.account).http.post("/channels", json={"name": "one"}, headers=once)
    assert (seen.status_code, seen.json()["code"]) == (409, "name_taken")
    assert not replayed(seen)
    # And whoever may not act for the organization is told so, key or not.
    other_tenant.http.headers["X-Tenant-Id"] = tenant.id
    answer = await other_tenant.http.post("/channels", json={"name": "one"}, headers=once)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    anonymous = await tenant.http.post(
        "/channels", json={"name": "one"}, headers={**once, "Authorization": "Bearer x"}
    )
    assert anonymous.status_code == 401


async def test_founding_an_organization_twice_is_founding_one(stack):
    person, once = await User.sign_up(stack), key()
    first = await person.http.post("/accounts", json={"name": "One"}, headers=once)
    again = await person.http.post("/accounts", json={"name": "One"}, headers=once)
    assert (first.status_code, again.content) == (201, first.content)
    assert replayed(again)
    assert len((await person.http.get("/accounts")).json()["accounts"]) == 1


async def test_a_message_is_published_once(tenant):
    channel, once = (await tenant.create_channel())["channel_id"], key()
    listener = await (await tenant.create_client()).connect_websocket()
    await listener.subscribe(channel=channel)
    path = f"/channels/{channel}/messages"
    first = await tenant.http.post(path, json={"n": 1}, headers=once)
    again = await tenant.http.post(path, json={"n": 1}, headers=once)
    assert (first.status_code, again.status_code, again.json()) == (202, 202, first.json())
    await tenant.http.post(path, json={"n": 2})
    await eventually(lambda: len(listener.pending("message")) == 2)
    assert [frame["data"] for frame in listener.pending("message")] == [{"n": 1}, {"n": 2}]


async def test_a_refusal_is_an_answer_too(tenant):
    await tenant.create_channel("taken")
    once = key()
    for again in (False, True):
        answer = await tenant.http.post("/channels", json={"name": "taken"}, headers=once)
        assert (answer.status_code, answer.json()["code"], replayed(answer)) == (409, "name_taken", again)
    once = key()
    for again in (False, True):
        answer = await tenant.http.post("/channels", json={"nome": "x"}, headers=once)
        assert (answer.status_code, answer.json()["code"], replayed(answer)) == (
            400,
            "invalid_request",
            again,
        )
    too_large = await tenant.http.post("/channels", content=b"x" * (3 * 1024 * 1024), headers=key())
    assert (too_large.status_code, too_large.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    "values", [[b""], [b"x" * 256], [b"caf\xe9"], [b"tab\there"], [b"one", b"two"]], ids=str
)
async def test_a_key_that_is_none_is_refused(tenant, values):
    headers = [*tenant.http.headers.raw, *((b"Idempotency-Key", value) for value in values)]
    answer = await tenant.http.post("/channels", json={"name": "x"}, headers=httpx.Headers(headers))
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"
    assert await names(tenant, "channels") == []


async def test_where_nothing_is_created_it_is_ignored(tenant):
    once = key()
    channel = await tenant.create_channel()
    for _ in range(2):
        answer = await tenant.http.put(
            f"/channels/{channel['channel_id']}", json={"description": "x"}, headers=once
        )
        assert (answer.status_code, replayed(answer)) == (200, False)
        answer = await tenant.http.post(
            "/auth/login", json={"email": "a@b.example", "password": "x"}, headers=once
        )
        assert (answer.status_code, replayed(answer)) == (401, False)


async def test_the_store_tells_no_secret(stack, tenant):
    once = key()
    made = (await tenant.http.post("/clients", json={"name": "a name"}, headers=once)).json()
    async with Redis.from_url(stack.endpoints["redis"]) as redis:
        found = [name async for name in redis.scan_iter("answer:*")]
        assert found
        for name in found:
            value = await redis.get(name)
            for secret in (made["nkey_seed"], made["client"]["client_id"], once["Idempotency-Key"], "a name"):
                assert secret.encode() not in name + value
            assert 0 < await redis.ttl(name) <= 24 * 3600
    again = await tenant.http.post("/clients", json={"name": "a name"}, headers=once)
    assert again.json() == made


@pytest.fixture
async def store(stack):
    shared = RedisClient(stack.endpoints["redis"])
    yield IdempotencyStore(shared, b"k" * 32)
    await shared.close()


async def test_what_is_under_way_is_waited_for_within_bounds(store, monkeypatch):
    same = {"owner": "t|u", "key": str(uuid.uuid4()), "request": b"POST"}
    claim = await store.claim(**same)
    assert isinstance(claim, IdempotencyClaim)
    waiting = asyncio.create_task(store.claim(**same))
    await asyncio.sleep(0.1)
    answer = StoredResponse(status=201, headers=[(b"a", b"b")], body=b"{}")
    await store.complete(claim, answer)
    assert await waiting == answer
    # One that takes too long is told of, and its claim ends when nothing was done.
    monkeypatch.setattr(idempotency_store, "WAIT_S", 0.2)
    same["key"] = str(uuid.uuid4())
    claim = await store.claim(**same)
    with pytest.raises(IdempotencyInProgress) as caught:
        await store.claim(**same)
    assert caught.value.retry_after_s
    with pytest.raises(IdempotencyKeyReused):
        await store.claim(**{**same, "request": b"other"})
    await store.release(claim)
    assert isinstance(await store.claim(**same), IdempotencyClaim)


async def test_a_claim_that_has_ended_overwrites_nothing(store, monkeypatch):
    monkeypatch.setattr(idempotency_store, "CLAIM_TTL_S", 0.05)
    same = {"owner": "t|u", "key": str(uuid.uuid4()), "request": b"POST"}
    late = await store.claim(**same)
    await asyncio.sleep(0.1)
    second = await store.claim(**same)
    assert isinstance(second, IdempotencyClaim)
    await store.complete(second, StoredResponse(status=201, headers=[], body=b"second"))
    await store.complete(late, StoredResponse(status=201, headers=[], body=b"late"))
    await store.release(late)
    assert (await store.claim(**same)).body == b"second"
