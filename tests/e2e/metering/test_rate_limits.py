"""Rate limits of calls, logins and keys over two gateway workers, with and without Redis."""

import asyncio
import json
import os
import signal

import httpx

from artcafe_common.plans import LIMITS, Plan
from support.actors import PASSWORD, User, set_plan
from support.health import is_healthy
from support.waiting import eventually

CALLS = LIMITS[Plan.FREE].api_calls_per_minute
# A bucket that empties slowly on a busy machine gets a few more meanwhile.
SOME_MORE = 60
HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


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


async def test_a_plans_calls_are_counted_over_all_gateways(limited_stack, org):
    unlimited = await org.http.get("/clients")
    assert not any(name in unlimited.headers for name in HEADERS)
    await set_plan(org, "free")

    async def one():
        # Each over a connection of its limited_stack, so that the kernel spreads them over both workers.
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
    other = await (await User.sign_up(limited_stack)).create_organization()
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


async def test_logins_are_limited_by_address_of_mail_and_of_network(limited_stack, org):
    http = org.owner.http
    other = await User.sign_up(limited_stack)

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


async def test_other_calls_without_an_organization_are_limited(limited_stack, org):
    async def challenge():
        return await org.owner.http.post("/auth/client/challenge", json={"client_id": "somebody"})

    assert await until_refused(challenge, at_most=60) >= 19
    assert refused(await org.owner.http.post("/auth/refresh", json={"refresh_token": "x"}))
    assert await until_refused(lambda: org.owner.http.get("/accounts"), at_most=90) >= 28
    # What they do for an organization is another matter.
    assert (await org.http.get("/clients")).status_code == 200


async def test_new_keys_of_every_kind_count_together(limited_stack, org):
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
    assert (await (await User.sign_up(limited_stack)).create_organization()) is not None


async def test_without_redis_calls_go_on_and_new_keys_wait(limited_stack, org):
    await set_plan(org, "basic")
    client = (await org.create_client()).id
    before = _logged(limited_stack, "redis_away")
    await limited_stack.supervisor.stop("redis")
    try:
        report = await eventually(lambda: _degraded(org))
        assert report["services"]["gateway"]["checks"] == {"nats": "ok", "redis": "Redis did not answer"}
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
        assert _logged(limited_stack, "redis_away") - before in (1, 2)
    finally:
        limited_stack.start("redis")
    await eventually(lambda: _limited(lambda: org.http.get("/channels")))
    await eventually(lambda: is_healthy(org), within=30)
    await org.create_client("at last")
    assert len((await org.call("GET", "/clients", 200))["clients"]) == 2


async def test_a_redis_that_hangs_holds_nobody_up(limited_stack, org):
    await set_plan(org, "basic")
    await eventually(lambda: _limited(lambda: org.http.get("/channels")))
    pid = limited_stack.supervisor.pid("redis")
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


def _logged(limited_stack, event):
    """How often the gateway's workers logged something."""
    lines = (limited_stack.directory / "logs/gateway.log").read_text().splitlines()
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
