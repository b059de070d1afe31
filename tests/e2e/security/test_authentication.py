"""Who is let in, and as what; and that no log tells how."""

import functools
import hmac
import json
import re
import time

import httpx
import pytest
from joserfc import jws, jwt
from joserfc.jwk import RSAKey
from websockets.asyncio.client import connect

from support.actors import PASSWORD, Tenant, User
from support.tokens import decode_claims, encode_base64url, provider_key, sign_token
from support.waiting import eventually

NOWHERE = "01JADAR0000000000000000000"


@functools.cache
def other_key():
    return RSAKey.generate_key(2048)


def raw_signed(header, payload):
    """A token whose parts need not be JSON objects, rightly signed for what it is."""
    protected = header if isinstance(header, bytes) else json.dumps(header).encode()
    first, second = encode_base64url(protected), encode_base64url(payload)
    whole = jws.serialize_compact({"alg": "RS256", "kid": "dummy"}, payload, provider_key())
    return f"{first}.{second}.{whole.split('.')[2]}"


def symmetric(header, claims, secret):
    """A token signed with HMAC by hand: libraries refuse to take a public key for a secret."""
    first, second = (encode_base64url(json.dumps(part).encode()) for part in (header, claims))
    return f"{first}.{second}.{encode_base64url(hmac.digest(secret, f'{first}.{second}'.encode(), 'sha256'))}"


def bare(answer):
    body = answer.json()
    assert body.pop("request_id") == answer.headers["x-request-id"]
    return body


def bad_tokens(good):
    """Tokens that must not be believed, by what is wrong with them."""
    claims, now = decode_claims(good), int(time.time())
    head, body, signature = good.split(".")
    public = provider_key().as_pem(private=False)
    any_use = RSAKey.import_key(
        {k: v for k, v in provider_key().as_dict(private=True).items() if k not in ("alg", "use")}
    )
    other = other_key()
    unsigned = f"{encode_base64url(json.dumps({'alg': 'none', 'kid': 'dummy'}).encode())}.{body}."
    yield "junk", "junk"
    yield "dots", "..."
    yield "not ascii", "é" * 20
    yield "none", unsigned
    yield "none with a signature", unsigned + signature
    yield "None", f"{encode_base64url(json.dumps({'alg': 'None', 'kid': 'dummy'}).encode())}.{body}."
    yield "no signature", f"{head}.{body}."
    yield "another's signature", f"{head}.{body}.{sign_token({**claims, 'sub': 'x'}).split('.')[2]}"
    yield "tampered", f"{head}.{encode_base64url(json.dumps({**claims, 'sub': 'me'}).encode())}.{signature}"
    yield "cut", good[:-10]
    yield "two parts", f"{head}.{body}"
    yield "four parts", f"{good}.x"
    yield "HS256 with the public key", symmetric({"alg": "HS256", "kid": "dummy"}, claims, public)
    yield "HS256 without kid", symmetric({"alg": "HS256"}, claims, public)
    yield "another key", sign_token(claims, key=other)
    yield "an unknown kid", sign_token(claims, key=other, kid="other")
    yield "no kid", jwt.encode({"alg": "RS256"}, claims, other)
    yield "a key in its header", sign_token(claims, key=other, jwk=other.as_dict(private=False))
    yield "RS512", jwt.encode({"alg": "RS512", "kid": "dummy"}, claims, any_use, algorithms=["RS512"])
    yield "PS256", jwt.encode({"alg": "PS256", "kid": "dummy"}, claims, any_use, algorithms=["PS256"])
    for header in (
        b"[]",
        b"5",
        b'"x"',
        b"null",
        b"{",
        b"\xff",
        b"[" * 9_000,
        b'{"a":' * 1_500 + b"1" + b"}" * 1_500,
    ):
        yield f"header {header[:5]!r}", raw_signed(header, json.dumps(claims).encode())
    for payload in (b"[]", b"5", b'"x"', b"null", b"{", b"\xff", b"[" * 9_000):
        yield f"payload {payload[:5]!r}", raw_signed({"alg": "RS256", "kid": "dummy"}, payload)
        yield (
            f"signed payload {payload[:5]!r}",
            jws.serialize_compact({"alg": "RS256", "kid": "dummy"}, payload, provider_key()),
        )
    yield "too long", sign_token({**claims, "pad": "x" * 20_000})
    for name, changes in {
        "expired": {"exp": now - 40},
        "not yet": {"nbf": now + 50},
        "issued later": {"iat": now + 50},
        "never expires": {"exp": 10**18},
        "expires as text": {"exp": str(now + 100)},
        "expires as true": {"exp": True},
        "no expiry": {"exp": None},
        "wrong issuer": {"iss": claims["iss"] + "x"},
        "issuers": {"iss": [claims["iss"]]},
        "wrong audience": {"client_id": "x"},
        "audience of the other kind": {"client_id": None, "aud": claims["client_id"]},
        "wrong use": {"token_use": "refresh"},
        "id without audience": {"token_use": "id"},
        "nobody": {"sub": ""},
        "no one": {"sub": None},
        "somebody odd": {"sub": {"a": 1}},
    }.items():
        yield name, sign_token({k: v for k, v in {**claims, **changes}.items() if v is not None})


async def test_a_bad_token_is_refused_before_anything_is_told(tenant):
    agent = await tenant.create_client()
    channel = await tenant.create_channel()
    targets = (
        ("GET", "/clients", {}),
        ("DELETE", f"/clients/{agent.id}", {}),
        ("POST", f"/channels/{channel['channel_id']}/messages", {"json": 1}),
        ("GET", f"/accounts/{tenant.id}", {}),
    )
    async with httpx.AsyncClient(base_url=tenant.owner.http.base_url, timeout=20) as http:
        for name, token in bad_tokens(tenant.owner.token):
            answers = []
            for tenant_id in (tenant.id, NOWHERE, ""):
                headers = [
                    (b"authorization", f"Bearer {token}".encode("latin-1")),
                    (b"x-tenant-id", tenant_id.encode()),
                ]
                for method, path, rest in targets if tenant_id == tenant.id else targets[:1]:
                    answers.append(await http.request(method, path, headers=headers, **rest))
            for answer in answers:
                assert answer.status_code == 401, (name, answer.text)
                assert answer.headers["www-authenticate"] == "Bearer"
                assert bare(answer) == bare(answers[0]), name
            assert answers[0].json()["code"] == "invalid_token", name
        # Neither a header without a token, nor another scheme, nor none at all.
        for value in (
            None,
            "",
            "Bearer",
            "Basic eDp5",
            tenant.owner.token,
            f"Token {tenant.owner.token}",
        ):
            headers = {"X-Tenant-Id": tenant.id} | ({} if value is None else {"Authorization": value})
            answer = await http.get("/clients", headers=headers)
            assert answer.status_code == 401, value
            assert answer.json()["code"] == "unauthenticated"
    assert (await tenant.call("GET", f"/clients/{agent.id}", 200))["client_id"] == agent.id


async def test_a_bad_token_opens_no_dashboard(tenant):
    url = f"ws://127.0.0.1:{tenant.stack.ports.api}/ws/dashboard?tenant_id={tenant.id}"
    wanted = (
        "junk",
        "none",
        "HS256 with the public key",
        "expired",
        "wrong audience",
        "header b'[]'",
        "tampered",
    )
    tokens = {name: token for name, token in bad_tokens(tenant.owner.token) if name in wanted}
    assert len(tokens) == len(wanted)
    for token in tokens.values():
        for address, options in (
            (f"{url}&token={token}", {}),
            (url, {"additional_headers": {"Authorization": f"Bearer {token}"}}),
            (url, {"subprotocols": ["bearer", token]}),
        ):
            ws = await connect(address, **options)
            assert json.loads(await ws.recv())["code"] == "invalid_token"
            with pytest.raises(Exception, match="4401"):
                await ws.recv()


async def test_thirty_seconds_either_way_are_forgiven(tenant):
    claims, now = decode_claims(tenant.owner.token), int(time.time())
    for changes, expected in (
        ({"exp": now - 20}, 200),
        ({"exp": now - 36}, 401),
        ({"nbf": now + 20}, 200),
        ({"nbf": now + 45}, 401),
        ({"iat": now + 20}, 200),
        ({"iat": now + 45}, 401),
        ({"token_use": "id", "aud": claims["client_id"], "client_id": None}, 200),
    ):
        token = sign_token({k: v for k, v in {**claims, **changes}.items() if v is not None})
        answer = await tenant.http.get("/clients", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == expected, (changes, answer.text)


async def test_which_tenant_a_person_acts_for(stack, tenant):
    person = await User.sign_up(stack)
    answer = await person.http.get("/clients")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    first = await person.create_organization("First")
    await first.create_client("only")
    answer = await person.http.get("/clients")
    assert [client["name"] for client in answer.json()["clients"]] == ["only"]
    second = await person.create_organization("Second")
    answer = await person.http.get("/clients")
    assert (answer.status_code, answer.json()["code"]) == (400, "tenant_required")
    url = f"ws://127.0.0.1:{stack.ports.api}/ws/dashboard"
    ws = await connect(url, subprotocols=["bearer", person.token])
    assert json.loads(await ws.recv())["code"] == "tenant_required"
    for each, names in ((first, ["only"]), (second, [])):
        answer = await each.http.get("/clients")
        assert [client["name"] for client in answer.json()["clients"]] == names
    # One that is another's, one that is none, and what cannot be one: all the same.
    answers = []
    for chosen in (tenant.id, NOWHERE, "x" * 500, "..", f"name#{tenant.id}#x", "é"):
        headers = [*person.http.headers.raw, (b"x-tenant-id", chosen.encode("latin-1"))]
        answer = await person.http.get("/clients", headers=headers)
        answers.append(bare(answer))
        assert answer.status_code == 403
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["code"] == "forbidden"


@pytest.fixture
async def staff(stack, tenant):
    """One person of each role in one organization."""
    people = {"owner": tenant}
    for role in ("admin", "member", "viewer"):
        person = await User.sign_up(stack)
        body = {"user_id": decode_claims(person.token)["sub"], "role": role}
        await tenant.call("POST", f"/accounts/{tenant.id}/members", 201, json=body)
        people[role] = Tenant(person, tenant.account)
    return people


# The least role for each route. Who may go on is told apart by what is wrong besides: nothing is changed.
LEAST = {
    "viewer": (
        ("GET", "/clients"),
        ("GET", "/clients/{none}"),
        ("GET", "/clients/{none}/status"),
        ("GET", "/channels"),
        ("GET", "/channels/{none}"),
        ("GET", "/accounts"),
        ("GET", "/accounts/{tid}"),
        ("GET", "/accounts/{tid}/members"),
        ("GET", "/usage/metrics"),
        ("GET", "/usage/current"),
        ("GET", "/usage/local/stats"),
    ),
    "member": (
        ("POST", "/clients", {"name": "{role}"}),
        ("PUT", "/clients/{none}", {"name": "x"}),
        ("DELETE", "/clients/{none}"),
        ("POST", "/clients/{none}/regenerate-nkey"),
        ("POST", "/channels", {"name": "{role}"}),
        ("PUT", "/channels/{none}", {"name": "x"}),
        ("DELETE", "/channels/{none}"),
        ("POST", "/channels/{none}/messages", {"any": "thing"}),
    ),
    "admin": (
        ("PUT", "/accounts/{tid}", {"description": "{role}"}),
        ("POST", "/accounts/{tid}/members", {"user_id": "{role}-1", "role": "viewer"}),
        ("PUT", "/accounts/{tid}/members/nobody", {"role": "viewer"}),
        ("DELETE", "/accounts/{tid}/members/nobody"),
    ),
    "owner": (
        ("POST", "/accounts/{tid}/members", {"user_id": "{role}-2", "role": "owner"}),
        ("PUT", "/accounts/{tid}/members/{founder}", {"role": "owner"}),
    ),
}
RANKS = ("viewer", "member", "admin", "owner")


async def test_every_role_may_do_what_it_may_and_no_more(tenant, staff):
    founder = decode_claims(tenant.owner.token)["sub"]
    wrong = []
    for least, routes in LEAST.items():
        for method, path, *body in routes:
            for role, person in staff.items():
                where = path.format(none=NOWHERE, tid=tenant.id, founder=founder)
                sent = {k: v.replace("{role}", role) for k, v in body[0].items()} if body else None
                answer = await person.http.request(method, where, json=sent)
                allowed = RANKS.index(role) >= RANKS.index(least)
                fits = answer.status_code in (200, 201, 202, 404) if allowed else answer.status_code == 403
                if not fits:
                    wrong.append((role, method, path, answer.status_code, answer.text))
    assert wrong == []


async def test_who_may_issue_the_organizations_key(tenant, staff):
    for role, status in (("viewer", 403), ("member", 403), ("admin", 201), ("owner", 201)):
        answer = await staff[role].http.post(f"/accounts/generate-nkey/{tenant.id}")
        assert answer.status_code == status, (role, answer.text)


async def test_a_wrong_password_and_a_wrong_name_are_the_same(stack, tenant):
    answers = []
    async with httpx.AsyncClient(base_url=tenant.owner.http.base_url, timeout=20) as http:
        for email, password in (
            (tenant.owner.email, "Wrong-Password-1"),
            ("nobody@example.com", PASSWORD),
            (tenant.owner.email, ""),
            ("", ""),
            ("\0", "\0"),
            ("x" * 3000, "y" * 3000),
            (tenant.owner.email + "\n", PASSWORD),
        ):
            answer = await http.post("/auth/login", json={"email": email, "password": password})
            assert answer.status_code == 401, (email[:50], password[:5], answer.text)
            answers.append(bare(answer))
        for token in ("wrong", "", tenant.owner.token, "\0"):
            answer = await http.post("/auth/refresh", json={"refresh_token": token})
            assert answer.status_code == 401, (token[:5], answer.text)
            answers.append(bare(answer))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["code"] == "invalid_credentials"


async def test_no_nonce_and_no_signature_of_whatever_shape_opens_a_socket(tenant):
    agent = await tenant.create_client()
    live = await agent.connect_websocket()
    url = agent.connection["websocket_url"]
    for query in (
        "nonce=&signature=",
        "nonce=x",
        "signature=x",
        "nonce=%00&signature=%ff",
        f"nonce={'x' * 43}&signature={'A' * 86}",
        f"nonce={'x' * 5000}&signature={'A' * 86}",
        f"nonce=keys%23{tenant.id}%231&signature=x",
        "nonce=a&nonce=b&signature=c&signature=d",
    ):
        ws = await connect(f"{url}?{query}")
        assert json.loads(await ws.recv())["code"] == "authentication_failed", query
        with pytest.raises(Exception, match="4401"):
            await ws.recv()
    base = url.removesuffix(agent.id)
    for client_id in ("x", "%00", "x" * 5000, f"name%23{tenant.id}%23x", NOWHERE, "%F0%9F%98%80"):
        ws = await connect(base + client_id)
        nonce = json.loads(await ws.recv())["nonce"]
        await ws.send(json.dumps({"type": "auth", **agent.sign_nonce(nonce)}))
        assert json.loads(await ws.recv())["code"] == "authentication_failed"
        with pytest.raises(Exception, match="4401"):
            await ws.recv()
    for client_id, status in (("x" * 129, 400), ("x" * 500_000, 400), ("", 200), ("\0", 200), (NOWHERE, 200)):
        answer = await tenant.http.post("/auth/client/challenge", json={"client_id": client_id})
        assert answer.status_code == status, answer.text
    assert await live.send_and_receive("ping", "pong")


async def test_no_log_tells_a_secret(stack, tenant):
    agent = await tenant.create_client()
    secrets = {agent.seed, tenant.owner.token, PASSWORD, "Wrong-Secret-1"}
    await tenant.http.post("/auth/login", json={"email": tenant.owner.email, "password": "Wrong-Secret-1"})
    challenge = await tenant.call("POST", "/auth/client/challenge", 200, json={"client_id": agent.id})
    proof = agent.sign_nonce(challenge["nonce"])
    url = f"{agent.connection['websocket_url']}?nonce={challenge['nonce']}&signature={proof['signature']}"
    for expected in ("welcome", "error"):
        ws = await connect(url)
        assert json.loads(await ws.recv())["type"] == expected
        await ws.close()
    secrets |= {challenge["nonce"], proof["signature"]}
    made = await tenant.call("POST", f"/accounts/generate-nkey/{tenant.id}", 201)
    again = await tenant.call("POST", f"/clients/{agent.id}/regenerate-nkey", 200)
    secrets |= {made["nkey_seed"], again["nkey_seed"]}
    board = f"ws://127.0.0.1:{stack.ports.api}/ws/dashboard?tenant_id={tenant.id}&token="
    ws = await connect(board + tenant.owner.token)
    assert json.loads(await ws.recv())["type"] == "welcome"
    await ws.close()
    for _, token in bad_tokens(tenant.owner.token):
        if len(token) > 20 and token.isascii():
            secrets.add(token)
            secrets |= {part for part in token.split(".") if len(part) > 40}
    await tenant.http.get("/clients", headers={"Authorization": "Bearer eyJub3QiOiJhIHRva2VuIn0"})
    await tenant.http.get(f"/clients?token={tenant.owner.token}")
    direct = await (await tenant.create_client()).connect_nats()
    await direct.close()
    logs = sorted((stack.directory / "logs").iterdir())
    assert {log.stem for log in logs} >= {"gateway", "identity", "tenancy", "presence", "metering", "nats"}
    shapes = re.compile(r"\bS[UAO][A-Z2-7]{56}\b|\beyJ[A-Za-z0-9_-]{8}")
    for log in logs:
        text = log.read_text(errors="replace")
        assert shapes.search(text) is None, log.name
        assert [secret[:8] for secret in secrets if secret in text] == [], log.name
    gateway = (stack.directory / "logs" / "gateway.log").read_text()
    assert '"path":' in gateway
    assert "tenant_id=" not in gateway


async def test_no_log_tells_a_message(stack, tenant):
    """Neither what is in it nor where it goes, on whatever way it comes and whatever becomes of it."""
    agent, channel = await tenant.create_client(), await tenant.create_channel()
    said, named = "Quetzalcoatlus", "pterodactyl"
    socket, board, nc = (
        await agent.connect_websocket(),
        await tenant.connect_dashboard(),
        await agent.connect_nats(),
    )
    await board.send_and_receive("subscribe_topic_preview", "subscription_confirmed")
    await socket.subscribe(subject=f"{named}.>")
    await socket.send_and_receive(
        "publish", "published", subject=f"{named}.a", data=said, headers={"a": said}, id=1
    )
    await nc.publish(f"{tenant.id}.{named}.b", said.encode())
    for _ in range(2):
        await socket.receive("message")
    await socket.send(type="request", subject=f"{named}2", data=said, id="q", timeout_ms=200)
    await socket.receive("error", id="q")
    await socket.send(type="publish", subject=f"{NOWHERE}.{named}", data=said, id="f")
    await socket.receive("error", id="f")
    await socket.ws.send(f'{{"type": "{said}')
    await socket.receive("error")
    for body, status in ({"data": said}, 202), ({"data": said, "headers": {"a b": said}}, 400):
        await tenant.call("POST", f"/channels/{channel['channel_id']}/messages", status, json=body)
    await tenant.call("GET", f"/channels/{channel['channel_id']}/messages?last=1&{named}={said}")
    await tenant.call("POST", "/clients", 400, json={"name": said, named: said})
    for log in sorted((stack.directory / "logs").iterdir()):
        text = log.read_text(errors="replace")
        assert [word for word in (said, named) if word in text] == [], log.name


async def test_what_everybody_may_read_names_nobody(stack, tenant, other_tenant):
    """Health, metrics and another organization's figures tell of no organization, client or subject."""
    agent, channel = await tenant.create_client("pangolin"), await tenant.create_channel("aardvark")
    socket = await agent.connect_websocket()
    await socket.subscribe(subject="okapi.>")
    await socket.send_and_receive("publish", "published", subject="okapi.x", data="axolotl", id=1)
    await socket.send_and_receive("publish", "published", channel=channel["channel_id"], data=1, id=2)

    async def counted():
        today = (await tenant.call("GET", "/usage/local/stats", 200))["today"]
        return today["messages"] == 2

    await eventually(counted)
    names = [tenant.id, agent.id, channel["channel_id"], "pangolin", "aardvark", "okapi", "axolotl"]
    async with httpx.AsyncClient(base_url=tenant.owner.http.base_url, timeout=20) as nobody:
        answers = [
            await nobody.get(path) for path in ("/metrics", "/health", "/health/ready", "/health/live")
        ]
    own = ("/usage/local/stats", "/usage/metrics", "/usage/current", "/agents/status/summary")
    for path in (*own, "/activity/logs", "/activity/summary"):
        answers += [await other_tenant.http.get(path)]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert [name for name in names if name in answer.text] == [], answer.url
    stats = (await other_tenant.call("GET", "/usage/local/stats", 200))["today"]
    assert (stats["messages"], stats["deliveries"]) == (0, 0)
