"""Rate limits of calls, logins and keys over two gateway workers, with and without Redis."""

import asyncio
import json

import httpx

from artcafe_common.plans import LIMITS, Plan
from support.actors import PASSWORD, User, set_plan
from support.health import is_healthy
from support.pausing import paused
from support.waiting import eventually, eventually_equals

CALLS_PER_MINUTE = LIMITS[Plan.FREE].api_calls_per_minute
# The token bucket refills while a test on a busy machine empties it.
REFILL_MARGIN = 60
HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


async def count_clients(org):
    return len(await org.list_items("/clients"))


def limit_headers(response):
    limit, remaining, reset = (int(response.headers[name]) for name in HEADERS)
    # The same in the fields of the current draft.
    assert response.headers["RateLimit-Policy"] == f'"minute";q={limit};w=60'
    assert response.headers["RateLimit"] == f'"minute";r={remaining};t={reset}'
    return limit, remaining, reset


def assert_rate_limited(response):
    assert response.status_code == 429
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert (problem["code"], problem["status"]) == ("rate_limited", 429)
    assert int(response.headers["Retry-After"]) >= 1
    assert limit_headers(response)[1] == 0


async def call_until_limited(call, *, at_most):
    """Repeat a call until it is rate limited; returns the number of accepted calls."""
    for number in range(at_most):
        response = await call()
        if response.status_code == 429:
            assert_rate_limited(response)
            return number
    raise AssertionError(f"{at_most} calls were accepted")


async def test_call_limit_of_a_plan_applies_across_workers(limited_stack, org):
    unlimited = await org.http.get("/clients")
    assert not any(name.lower().startswith("ratelimit") for name in unlimited.headers)
    await set_plan(org, "free")

    async def call():
        # A new connection each time, so that the kernel distributes the calls over both workers.
        async with httpx.AsyncClient(
            base_url=org.http.base_url, headers=org.http.headers, timeout=20
        ) as http:
            return await http.get("/channels")

    first = await eventually(lambda: call_with_limit_headers(call))
    limit, remaining, reset = limit_headers(first)
    assert (limit, remaining) == (CALLS_PER_MINUTE, CALLS_PER_MINUTE - 1)
    assert 1 <= reset <= 60
    responses = [
        a
        for _ in range(8)
        for a in await asyncio.gather(*(call() for _ in range((CALLS_PER_MINUTE + REFILL_MARGIN) // 8)))
    ]
    accepted = [a for a in responses if a.status_code == 200]
    assert CALLS_PER_MINUTE - 1 <= len(accepted) < len(responses)
    for response in responses:
        assert limit_headers(response)[0] == CALLS_PER_MINUTE
        if response.status_code != 200:
            assert_rate_limited(response)
    # The limit applies to all routes of the organization together.
    await call_until_limited(lambda: org.http.get("/usage/current"), at_most=REFILL_MARGIN)
    await call_until_limited(lambda: org.http.post("/clients", json={"name": "x"}), at_most=REFILL_MARGIN)
    # Other organizations and monitoring routes are not limited.
    other = await (await User.sign_up(limited_stack)).create_organization()
    assert (await other.http.get("/channels")).status_code == 200
    for path in ("/health", "/health/live", "/health/ready", "/metrics"):
        response = await org.http.get(path)
        assert response.status_code == 200
        assert not any(name in response.headers for name in HEADERS)
    # A plan change applies immediately.
    await set_plan(org, "enterprise")
    await eventually(lambda: is_accepted(call))


async def call_with_limit_headers(call):
    response = await call()
    return response if HEADERS[0] in response.headers else None


async def is_accepted(call):
    return (await call()).status_code == 200


async def test_rate_limited_call_changes_nothing_and_errors_have_limit_headers(org):
    await set_plan(org, "free")
    missing = await eventually(lambda: call_with_limit_headers(lambda: org.http.get("/clients/nobody")))
    assert missing.status_code == 404
    assert limit_headers(missing)[0] == CALLS_PER_MINUTE
    accepted = 0
    while True:
        await call_until_limited(lambda: org.http.get("/clients"), at_most=CALLS_PER_MINUTE + REFILL_MARGIN)
        response = await org.http.post("/channels", json={"name": f"channel {accepted}"})
        if response.status_code != 201:
            break
        # The bucket got a token in between.
        accepted += 1
    assert_rate_limited(response)
    await set_plan(org, "enterprise")
    channels = await eventually(lambda: get_json(org, "/channels"))
    assert len(channels["channels"]) == accepted


async def get_json(org, path):
    response = await org.http.get(path)
    return response.json() if response.status_code == 200 else None


async def test_logins_are_limited_per_email_address_and_per_ip_address(limited_stack, org):
    http = org.owner.http
    other = await User.sign_up(limited_stack)

    async def login(email, password):
        return await http.post("/auth/login", json={"email": email, "password": password})

    # All spellings of an email address count together; then the correct password is rejected, too.
    spellings = iter([org.owner.email, org.owner.email.upper(), f" {org.owner.email}"] * 10)
    accepted = await call_until_limited(lambda: login(next(spellings), "wrong"), at_most=20)
    assert accepted >= 3
    assert_rate_limited(await login(org.owner.email, PASSWORD))
    # Other users of the same IP address can log in,
    assert (await login(other.email, PASSWORD)).status_code == 200
    # until the limit of the IP address is reached.
    names = iter(range(1000))
    await call_until_limited(lambda: login(f"guess-{next(names)}@example.com", "x"), at_most=100)


async def test_calls_without_an_organization_are_limited_per_ip_address_and_user(limited_stack, org):
    async def challenge():
        return await org.owner.http.post("/auth/client/challenge", json={"client_id": "somebody"})

    assert await call_until_limited(challenge, at_most=60) >= 19
    assert_rate_limited(await org.owner.http.post("/auth/refresh", json={"refresh_token": "x"}))
    assert await call_until_limited(lambda: org.owner.http.get("/accounts"), at_most=90) >= 28
    # Calls for an organization count toward its own limit.
    assert (await org.http.get("/clients")).status_code == 200


async def test_new_keys_of_every_kind_count_toward_one_limit(limited_stack, org):
    client = (await org.create_client()).id
    await org.call("POST", f"/accounts/generate-nkey/{org.id}", 201)
    for _ in range(5):
        await org.call("POST", f"/clients/{client}/regenerate-nkey", 200)
    responses = await asyncio.gather(*(org.http.post("/clients", json={"name": f"c{n}"}) for n in range(10)))
    assert sorted(a.status_code for a in responses) == [201] * 5 + [429] * 5
    for path in (f"/clients/{client}/regenerate-nkey", f"/accounts/generate-nkey/{org.id}"):
        response = await org.http.post(path)
        assert (response.status_code, response.json()["code"]) == (429, "key_rate_exceeded")
        assert int(response.headers["Retry-After"]) > 60
    # The rejection is not stored under the idempotency key: the request can be repeated.
    idempotency_key = {"Idempotency-Key": "a key"}
    for _ in range(2):
        response = await org.http.post("/clients", json={"name": "later"}, headers=idempotency_key)
        assert response.status_code == 429
        assert "Idempotency-Replayed" not in response.headers
    await eventually_equals(lambda: count_clients(org), 6)
    assert (await (await User.sign_up(limited_stack)).create_organization()) is not None


async def test_without_redis_calls_are_unlimited_and_new_keys_rejected(limited_stack, org):
    await set_plan(org, "basic")
    client = (await org.create_client()).id
    before = count_log_events(limited_stack, "redis_unavailable")
    await limited_stack.supervisor.stop("redis")
    try:
        report = await eventually(lambda: degraded_report(org))
        assert report["services"]["gateway"]["checks"] == {"nats": "ok", "redis": "Redis is not reachable"}
        assert (await org.http.get("/health/ready")).status_code == 200
        for _ in range(30):
            response = await org.http.get("/channels")
            assert response.status_code == 200
            assert HEADERS[0] not in response.headers
        for path, body in (
            ("/clients", {"name": "unlimited"}),
            (f"/clients/{client}/regenerate-nkey", None),
            (f"/accounts/generate-nkey/{org.id}", None),
        ):
            response = await org.http.post(path, json=body)
            assert (response.status_code, response.json()["code"]) == (503, "store_unavailable"), path
        # Without Redis, idempotency cannot be guaranteed.
        response = await org.http.post(
            "/channels", json={"name": "once"}, headers={"Idempotency-Key": "while away"}
        )
        assert (response.status_code, response.json()["code"]) == (503, "store_unavailable")
        assert (await org.call("GET", "/channels", 200))["channels"] == []
        await org.create_channel("without a key")
        # Each worker logs it once.
        assert count_log_events(limited_stack, "redis_unavailable") - before in (1, 2)
    finally:
        limited_stack.start("redis")
    await eventually(lambda: call_with_limit_headers(lambda: org.http.get("/channels")))
    await eventually(lambda: is_healthy(org), within=30)
    await org.create_client("at last")
    await eventually_equals(lambda: count_clients(org), 2)


async def test_hanging_redis_does_not_block_calls(limited_stack, org):
    await set_plan(org, "basic")
    await eventually(lambda: call_with_limit_headers(lambda: org.http.get("/channels")))
    async with paused(limited_stack.supervisor.pid("redis")):
        responses = await asyncio.gather(*(org.http.get("/channels") for _ in range(40)))
        assert {a.status_code for a in responses} == {200}
        assert (await org.http.post("/clients", json={"name": "x"})).status_code == 503
        response = await org.http.post("/channels", json={"name": "x"}, headers={"Idempotency-Key": "hung"})
        assert (response.status_code, response.json()["code"]) == (503, "store_unavailable")
    await eventually(lambda: call_with_limit_headers(lambda: org.http.get("/channels")))


def count_log_events(limited_stack, event):
    """How often the gateway's workers logged an event."""
    lines = (limited_stack.directory / "logs/gateway.log").read_text().splitlines()
    matching = [line for line in lines if f'"{event}"' in line]
    assert all(json.loads(line)["service"] == "gateway" for line in matching)
    return len(matching)


async def degraded_report(org):
    response = await org.http.get("/health")
    report = response.json()
    status = (response.status_code, report["services"]["gateway"]["status"], report["status"])
    return report if status == (200, "degraded", "degraded") else None
