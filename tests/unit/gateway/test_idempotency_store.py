"""The idempotency store: one request is processed once, and its response is stored encrypted."""

import asyncio
import time
import uuid

import msgspec
import pytest

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.key_ring import KeyRing, TimedKey
from artcafe_common.storage.redis_client import RedisClient
from artcafe_gateway.http import idempotency_store as store_module
from artcafe_gateway.http.idempotency_store import (
    CLAIM_TTL_S,
    RESPONSE_TTL_S,
    IdempotencyClaim,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    IdempotencyStore,
    StoredResponse,
)
from support.pausing import paused
from support.waiting import eventually

OWNER = "tenant|user:u"
RESPONSE = StoredResponse(
    status=201, headers=[(b"content-type", b"application/json")], body=b'{"seed":"SUSECRET"}'
)


@pytest.fixture
def store(redis_client):
    return IdempotencyStore(redis_client, KeyRing.of(b"k" * 32))


@pytest.fixture
def key():
    return uuid.uuid4().hex


async def raw(redis_client, claim):
    return await redis_client._redis.get(claim.redis_key)


async def test_response_of_the_first_request_is_replayed(store, key):
    claim = await store.claim(owner=OWNER, key=key, request=b"request")
    assert isinstance(claim, IdempotencyClaim)
    await store.complete(claim, RESPONSE)
    for _ in range(3):
        assert await store.claim(owner=OWNER, key=key, request=b"request") == RESPONSE


async def test_different_request_with_the_key_is_rejected(store, key):
    claim = await store.claim(owner=OWNER, key=key, request=b"request")
    with pytest.raises(IdempotencyKeyReused):
        await store.claim(owner=OWNER, key=key, request=b"other")
    await store.complete(claim, RESPONSE)
    with pytest.raises(IdempotencyKeyReused):
        await store.claim(owner=OWNER, key=key, request=b"other")


async def test_key_belongs_to_its_owner(store, key):
    claim = await store.claim(owner=OWNER, key=key, request=b"request")
    await store.complete(claim, RESPONSE)
    for owner in ("tenant|user:other", "other|user:u", ""):
        other = await store.claim(owner=owner, key=key, request=b"another request")
        assert isinstance(other, IdempotencyClaim)


async def test_concurrent_repetition_waits_for_the_response(store, key):
    claim = await store.claim(owner=OWNER, key=key, request=b"request")
    repetition = asyncio.create_task(store.claim(owner=OWNER, key=key, request=b"request"))
    await asyncio.sleep(0.01)
    assert not repetition.done()
    await store.complete(claim, RESPONSE)
    assert await repetition == RESPONSE


async def test_repetition_of_a_long_request_is_rejected_after_a_while(store, key, monkeypatch):
    monkeypatch.setattr(store_module, "WAIT_S", 0.1)
    await store.claim(owner=OWNER, key=key, request=b"request")
    with pytest.raises(IdempotencyInProgress) as error:
        await store.claim(owner=OWNER, key=key, request=b"request")
    assert error.value.retry_after_s == 1


@pytest.fixture
async def hanging(redis_stack):
    """A store whose calls end soon while Redis hangs, and the context in which it does."""
    client = RedisClient(redis_stack.environ()["REDIS_URL"], timeout_s=0.2)
    yield IdempotencyStore(client, KeyRing.of(b"k" * 32)), paused(redis_stack.supervisor.pid("redis"))
    await client.close()


async def test_claim_that_a_hung_redis_executes_later_is_released(hanging, key, monkeypatch):
    monkeypatch.setattr(store_module, "WAIT_S", 0.1)
    store, hung = hanging
    await store.claim(owner=OWNER, key=uuid.uuid4().hex, request=b"connects")
    async with hung:
        with pytest.raises(StoreUnavailable):
            await store.claim(owner=OWNER, key=key, request=b"request")
    # The claim that nobody owns is there now.
    with pytest.raises(IdempotencyInProgress):
        await store.claim(owner=OWNER, key=key, request=b"request")
    await store.settle_unconfirmed()
    claim = await store.claim(owner=OWNER, key=key, request=b"request")
    # Released again, it is not the new one that ends.
    await store.settle_unconfirmed()
    await store.complete(claim, RESPONSE)
    assert await store.claim(owner=OWNER, key=key, request=b"request") == RESPONSE


async def test_response_that_a_hung_redis_did_not_store_is_stored_later(hanging, key):
    store, hung = hanging
    claim = await store.claim(owner=OWNER, key=key, request=b"request")
    failed = await store.claim(owner=OWNER, key=f"{key} failed", request=b"request")
    async with hung:
        with pytest.raises(StoreUnavailable):
            await store.complete(claim, RESPONSE)
        with pytest.raises(StoreUnavailable):
            await store.release(failed)
    await eventually(lambda: settles(store))
    assert await store.claim(owner=OWNER, key=key, request=b"request") == RESPONSE
    repeated = await store.claim(owner=OWNER, key=f"{key} failed", request=b"request")
    assert isinstance(repeated, IdempotencyClaim)


async def settles(store):
    try:
        await store.settle_unconfirmed()
    except StoreUnavailable:
        return False
    return True


async def test_of_concurrent_requests_one_is_processed(store, key):
    processed = 0

    async def request():
        nonlocal processed
        claim = await store.claim(owner=OWNER, key=key, request=b"request")
        if isinstance(claim, StoredResponse):
            return claim
        processed += 1
        await asyncio.sleep(0.01)
        await store.complete(claim, RESPONSE)
        return RESPONSE

    responses = await asyncio.gather(*(request() for _ in range(20)))
    assert processed == 1
    assert responses == [RESPONSE] * 20


async def test_released_request_can_be_repeated(store, key):
    claim = await store.claim(owner=OWNER, key=key, request=b"request")
    await store.release(claim)
    assert isinstance(await store.claim(owner=OWNER, key=key, request=b"request"), IdempotencyClaim)


async def test_expired_claim_cannot_complete_or_release_a_later_one(store, key, redis_client):
    expired = await store.claim(owner=OWNER, key=key, request=b"request")
    await redis_client._redis.delete(expired.redis_key)
    claim = await store.claim(owner=OWNER, key=key, request=b"request")
    before = await raw(redis_client, claim)
    await store.complete(expired, RESPONSE)
    await store.release(expired)
    assert await raw(redis_client, claim) == before
    other = StoredResponse(status=200, headers=[], body=b"")
    await store.complete(claim, other)
    assert await store.claim(owner=OWNER, key=key, request=b"request") == other


async def test_records_expire(store, key, redis_client):
    claim = await store.claim(owner=OWNER, key=key, request=b"request")
    assert 0 < await redis_client._redis.pttl(claim.redis_key) <= CLAIM_TTL_S * 1000
    await store.complete(claim, RESPONSE)
    assert CLAIM_TTL_S < await redis_client._redis.ttl(claim.redis_key) <= RESPONSE_TTL_S


async def test_record_reveals_neither_response_nor_request_nor_key(store, key, redis_client):
    claim = await store.claim(owner=OWNER, key=key, request=b"request")
    await store.complete(claim, RESPONSE)
    record = await raw(redis_client, claim)
    for text in (b"SUSECRET", b"request", key.encode(), b"content-type"):
        assert text not in record
    assert key not in claim.redis_key


async def test_same_response_is_encrypted_differently(store, redis_client, key):
    records = []
    for owner in ("one", "other"):
        claim = await store.claim(owner=owner, key=key, request=b"request")
        await store.complete(claim, RESPONSE)
        records.append(await raw(redis_client, claim))
    assert records[0] != records[1]


async def test_another_installations_key_does_not_find_the_record(store, redis_client, key):
    claim = await store.claim(owner=OWNER, key=key, request=b"request")
    await store.complete(claim, RESPONSE)
    other = IdempotencyStore(redis_client, KeyRing.of(b"x" * 32))
    assert isinstance(await other.claim(owner=OWNER, key=key, request=b"request"), IdempotencyClaim)


@pytest.mark.parametrize(
    "response",
    [
        StoredResponse(status=204, headers=[], body=b""),
        StoredResponse(status=409, headers=[(b"a", b"b"), (b"a", b"c")], body=bytes(range(256)) * 100),
    ],
)
async def test_any_response_is_replayed_byte_for_byte(store, key, response):
    claim = await store.claim(owner=OWNER, key=key, request=b"")
    await store.complete(claim, response)
    assert await store.claim(owner=OWNER, key=key, request=b"") == response


async def test_replaced_key_executes_no_request_twice(redis_client, key):
    """Around the change, a gateway may use either key, whose clock or file is ahead."""
    later = int(time.time()) + 1000
    old, new = TimedKey(secret=b"o" * 32), TimedKey(secret=b"n" * 32)
    behind = IdempotencyStore(redis_client, KeyRing([old, msgspec.structs.replace(new, valid_from=later)]))
    ahead = IdempotencyStore(redis_client, KeyRing([old, new]))
    for first, second in ((behind, ahead), (ahead, behind)):
        request = key + str(first is behind)
        claim = await first.claim(owner=OWNER, key=request, request=b"request")
        await first.complete(claim, RESPONSE)
        assert await second.claim(owner=OWNER, key=request, request=b"request") == RESPONSE
        with pytest.raises(IdempotencyKeyReused):
            await second.claim(owner=OWNER, key=request, request=b"another")


async def store_response(store, *, tenant, size=0):
    """Executes a request of a tenant with a response of about a size; returns its key."""
    key = uuid.uuid4().hex
    claim = await store.claim(owner=f"{tenant}|user:u", key=key, request=b"request")
    await store.complete(claim, StoredResponse(status=201, headers=[], body=b"x" * size))
    return key


async def is_stored(store, key, *, tenant):
    found = await store.claim(owner=f"{tenant}|user:u", key=key, request=b"request")
    if isinstance(found, IdempotencyClaim):
        await store.release(found)
    return isinstance(found, StoredResponse)


@pytest.mark.parametrize("size", [0, 2000])
async def test_latest_responses_of_an_organization_are_stored(store, redis_client, monkeypatch, size):
    tenant, other = uuid.uuid4().hex, uuid.uuid4().hex
    monkeypatch.setattr(store_module, "MAX_STORED_BYTES", 20_000)
    first_of_other = await store_response(store, tenant=other)
    keys = [await store_response(store, tenant=tenant, size=size) for _ in range(80)]
    stored = [await is_stored(store, key, tenant=tenant) for key in keys]
    number = stored.count(True)
    assert stored == [False] * (80 - number) + [True] * number
    assert 20_000 // (size + 500) <= number <= 20_000 // (size + store_module.OVERHEAD_BYTES)
    # Other organizations are not affected.
    assert await is_stored(store, first_of_other, tenant=other)
    # What Redis needs besides is no more than what is counted for it.
    claim = await store.claim(owner=f"{tenant}|user:u", key="another", request=b"request")
    counted = int(await redis_client._redis.get(f"{claim.list_key}:bytes"))
    record = await store.claim(owner=f"{tenant}|user:u", key=keys[-1], request=b"request")
    assert len(record.body) == size
    used = await memory_of(redis_client, claim.list_key, number)
    assert used <= counted <= 20_000


async def memory_of(redis_client, list_key, number):
    """The bytes of an organization's list and of its records."""
    redis = redis_client._redis
    names = [entry.split()[2] for entry in await redis.lrange(list_key, 0, -1)]
    assert len(names) == number
    return sum([await redis.memory_usage(name, samples=0) for name in [list_key, *names]])


async def test_response_that_expired_is_forgotten_without_its_successor(store, redis_client, monkeypatch):
    monkeypatch.setattr(store_module, "RESPONSE_TTL_S", 0.05)
    tenant, key = uuid.uuid4().hex, uuid.uuid4().hex
    request = {"owner": f"{tenant}|user:u", "key": key, "request": b"request"}
    await store.complete(await store.claim(**request), RESPONSE)
    await asyncio.sleep(0.1)
    monkeypatch.setattr(store_module, "RESPONSE_TTL_S", 60)
    claim = await store.claim(**request)
    await store.complete(claim, RESPONSE)
    await store_response(store, tenant=tenant)
    assert await store.claim(**request) == RESPONSE
