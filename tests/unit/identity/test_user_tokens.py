"""User tokens: which keys are trusted for how long, and how often the provider is called."""

import asyncio
import time

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from artcafe_common.contracts.identity.users import InvalidToken, ProviderUnavailable
from artcafe_identity import jwks as jwks_module
from artcafe_identity.jwks import JwksCache
from artcafe_identity.user_details import UserDetails, read_details
from artcafe_identity.user_tokens import UserTokenVerifier
from support.fakes.clock import FakeClock

ISSUER, APP = "https://issuer.example", "app"
KEYS = {kid: RSAKey.generate_key(2048, {"kid": kid}) for kid in ("one", "two")}


class Provider:
    """Serves keys and counts the requests; it can be unavailable."""

    def __init__(self, *kids):
        self.kids = list(kids)
        self.requests = 0
        self.down = False
        self.http = httpx.AsyncClient(transport=httpx.MockTransport(self._serve))
        self.jwks = JwksCache("https://issuer.example/jwks.json", self.http)

    async def _serve(self, _request):
        self.requests += 1
        await asyncio.sleep(0)
        if self.down:
            raise httpx.ConnectError("down")
        return httpx.Response(200, json={"keys": [KEYS[kid].as_dict(private=False) for kid in self.kids]})


@pytest.fixture
def clock(monkeypatch):
    clock = FakeClock(time.time())
    monkeypatch.setattr(jwks_module, "time", clock)
    return clock


def token(kid="one", **changes):
    now = int(time.time())
    claims = {
        "sub": "me",
        "iss": ISSUER,
        "exp": now + 600,
        "token_use": "access",
        "client_id": APP,
        **changes,
    }
    return jwt.encode({"alg": "RS256", "kid": kid}, claims, KEYS[kid])


def verifier(provider):
    return UserTokenVerifier(jwks=provider.jwks, issuer=ISSUER, client_id=APP)


async def test_known_key_is_fetched_once(clock):
    provider = Provider("one")
    for _ in range(5):
        assert (await verifier(provider).verify(token())).user_id == "me"
    assert provider.requests == 1


async def test_unknown_key_refreshes_at_most_once_a_minute(clock):
    provider = Provider("one")
    await provider.jwks.get_key("one")
    clock.advance(61)
    for kid in ("two", "three", "four") * 20:
        with pytest.raises(InvalidToken):
            await provider.jwks.get_key(kid)
    assert provider.requests == 2
    provider.kids = ["one", "two"]
    with pytest.raises(InvalidToken):
        await provider.jwks.get_key("two")
    clock.advance(61)
    assert await provider.jwks.get_key("two")
    assert provider.requests == 3


async def test_withdrawn_key_expires(clock):
    provider = Provider("one")
    await provider.jwks.get_key("one")
    provider.kids = ["two"]
    clock.advance(jwks_module.MAX_AGE_S - 1)
    assert await provider.jwks.get_key("one")
    clock.advance(2)
    with pytest.raises(InvalidToken):
        await provider.jwks.get_key("one")
    assert provider.requests == 2


async def test_provider_outage_keeps_known_keys(clock):
    provider = Provider("one")
    await provider.jwks.get_key("one")
    provider.down = True
    clock.advance(jwks_module.MAX_AGE_S + 1)
    for _ in range(5):
        assert await provider.jwks.get_key("one")
    assert provider.requests == 2


async def test_concurrent_requests_fetch_once(clock):
    provider = Provider("one")
    assert len(await asyncio.gather(*(provider.jwks.get_key("one") for _ in range(50)))) == 50
    assert provider.requests == 1


async def test_failed_first_fetch_is_not_retried_for_every_token(clock):
    provider = Provider("one")
    provider.down = True
    for _ in range(20):
        with pytest.raises(ProviderUnavailable):
            await provider.jwks.get_key("one")
    assert provider.requests == 1
    provider.down = False
    clock.advance(1.1)
    assert await provider.jwks.get_key("one")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"keys":5}', b'{"keys":[5]}', b'{"keys":[{"kty":"x"}]}', b"<html>"]
)
async def test_malformed_key_set_is_rejected(body):
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, content=body))
    jwks = JwksCache("https://issuer.example", httpx.AsyncClient(transport=transport))
    with pytest.raises((ProviderUnavailable, InvalidToken)):
        await jwks.get_key("one")


@pytest.mark.parametrize(
    ("changes", "valid"),
    [
        ({"exp": -25}, True),
        ({"exp": -31}, False),
        ({"nbf": 25}, True),
        ({"nbf": 35}, False),
        ({"iat": 25}, True),
        ({"iat": 35}, False),
    ],
)
async def test_clock_leeway(changes, valid):
    now = int(time.time())
    text = token(**{name: now + value for name, value in changes.items()})
    if valid:
        await verifier(Provider("one")).verify(text)
    else:
        with pytest.raises(InvalidToken):
            await verifier(Provider("one")).verify(text)


@pytest.mark.parametrize(
    ("changes", "valid"),
    [
        ({"token_use": "id", "aud": ["other", APP]}, True),
        ({"token_use": "id", "aud": APP}, True),
        ({"token_use": "id", "aud": ["other"]}, False),
        ({"token_use": "id", "aud": []}, False),
        ({"token_use": "id", "aud": None}, False),
        ({"token_use": "id", "aud": f"{APP}lication"}, False),
        ({"token_use": "id"}, False),
        ({"client_id": [APP]}, False),
        ({"exp": 4_000_000_000.75}, True),
        ({"iat": 1_000_000_000.5, "nbf": 1.25}, True),
        ({"iat": None, "nbf": None}, True),
        ({"exp": None}, False),
        ({"exp": "2000000000"}, False),
        ({"exp": True}, False),
        ({"exp": 1e300}, False),
        ({"email": None, "name": None}, True),
        ({"email": 5, "name": ["x"]}, True),
        ({"sub": ""}, False),
        ({"sub": None}, False),
    ],
    ids=repr,
)
async def test_claims(changes, valid):
    if valid:
        user = await verifier(Provider("one")).verify(token(**changes))
        assert (user.user_id, user.email, user.name) == ("me", "", "")
    else:
        with pytest.raises(InvalidToken):
            await verifier(Provider("one")).verify(token(**changes))


@pytest.mark.parametrize(
    ("claims", "email", "name", "verified"),
    [
        ({"email": "a@b.example", "name": "Ada"}, "a@b.example", "Ada", None),
        ({"email": "a@b.example", "email_verified": True}, "a@b.example", "", True),
        ({"email": "a@b.example", "email_verified": "true"}, "a@b.example", "", True),
        ({"email": "a@b.example", "email_verified": ["true"]}, "a@b.example", "", None),
        ({"email": "a@b.example", "email_verified": False}, "", "", False),
        ({"email": "a@b.example", "email_verified": "false"}, "", "", False),
        ({"email_verified": True}, "", "", None),
        ({"given_name": "Ada", "family_name": "Lovelace"}, "", "Ada Lovelace", None),
        ({"given_name": "Ada"}, "", "Ada", None),
        ({"email": "no address", "email_verified": True}, "", "", None),
        ({"email": "a@" + "b" * 300, "name": "x" * 300}, "", "", None),
        ({"name": "Ada\u202eecafitra"}, "", "", None),
        ({"name": "two\nlines"}, "", "", None),
        ({"email": "a@b.example\n"}, "", "", None),
    ],
    ids=repr,
)
def test_details_of_a_person(claims, email, name, verified):
    assert read_details(claims) == UserDetails(email=email, name=name, email_verified=verified)


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a.b.c", "é.é.é", "\0", "W10.e30.x", "bnVsbA.e30.x", "x" * 20_000]
)
async def test_malformed_token_is_rejected(text):
    with pytest.raises(InvalidToken):
        await verifier(Provider("one")).verify(text)
