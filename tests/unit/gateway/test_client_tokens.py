"""Tokens of clients in the gateway: authenticated once, until an event says that the client changed."""

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta

import pytest

from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.contracts.identity.client_tokens import (
    CLIENT_TOKEN_TYPE,
    AuthenticateClientToken,
    TokenIdentity,
    TokenScope,
    is_client_token,
    read_client_id,
)
from artcafe_common.contracts.identity.clients import ClientIdentity, Permissions
from artcafe_common.contracts.identity.users import InvalidToken
from artcafe_common.contracts.tenancy.accounts import AccountStatus
from artcafe_common.contracts.tenancy.events import (
    AccountStatusChanged,
    ClientRevoked,
    RevocationReason,
)
from artcafe_gateway.client_tokens import ClientTokens
from support.fakes.bus import FakeBus
from support.fakes.ids import CLIENT, OTHER_CLIENT, TENANT

CALLER = CallerContext(request_id="r")


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def build_token(client_id=CLIENT, number=0):
    return f"{part({'typ': CLIENT_TOKEN_TYPE})}.{part({'sub': client_id, 'n': number})}.x"


TOKEN = build_token()


def identity(*, expires_in=60):
    client = ClientIdentity(
        client_id=CLIENT, tenant_id=TENANT, account="A", name="n", permissions=Permissions()
    )
    expires_at = datetime.now(UTC) + timedelta(seconds=expires_in)
    return TokenIdentity(client=client, scope=TokenScope(), expires_at=expires_at)


@pytest.fixture
def bus():
    return FakeBus({AuthenticateClientToken: identity()})


@pytest.fixture
async def tokens(bus):
    tokens = ClientTokens(bus)
    await tokens.subscribe()
    return tokens


def revoked(client_id=CLIENT):
    return ClientRevoked(
        tenant_id=TENANT, client_id=client_id, nkey_public="U", reason=RevocationReason.KEY_REGENERATED
    )


async def test_token_is_authenticated_once(tokens, bus):
    for _ in range(3):
        assert (await tokens.authenticate(TOKEN, CALLER)).client.client_id == CLIENT
    await tokens.authenticate(build_token(number=1), CALLER)
    assert bus.count(AuthenticateClientToken) == 2


@pytest.mark.parametrize(
    "event", [revoked(), AccountStatusChanged(tenant_id=TENANT, status=AccountStatus.SUSPENDED)]
)
async def test_event_ends_every_token_of_the_client(tokens, bus, event):
    many = [build_token(number=number) for number in range(3)]
    for token in many:
        await tokens.authenticate(token, CALLER)
    await bus.emit(event)
    bus.replies[AuthenticateClientToken] = InvalidToken()
    for token in many:
        with pytest.raises(InvalidToken):
            await tokens.authenticate(token, CALLER)


async def test_tokens_of_other_clients_stay_cached(tokens, bus):
    await tokens.authenticate(TOKEN, CALLER)
    await bus.emit(revoked(OTHER_CLIENT))
    await tokens.authenticate(TOKEN, CALLER)
    assert bus.count(AuthenticateClientToken) == 1


async def test_answer_that_was_on_its_way_when_the_key_was_replaced_is_not_kept(tokens, bus):
    bus.hold(AuthenticateClientToken)
    early = asyncio.create_task(tokens.authenticate(TOKEN, CALLER))
    await asyncio.sleep(0.01)
    await bus.emit(revoked())
    bus.release(AuthenticateClientToken)
    await early
    bus.replies[AuthenticateClientToken] = InvalidToken()
    with pytest.raises(InvalidToken):
        await tokens.authenticate(TOKEN, CALLER)


async def test_expired_token_and_failure_are_not_answered_from_the_cache(tokens, bus):
    bus.replies[AuthenticateClientToken] = identity(expires_in=-1)
    with pytest.raises(InvalidToken):
        await tokens.authenticate(TOKEN, CALLER)
    other = build_token(number=1)
    bus.replies[AuthenticateClientToken] = ServiceUnavailable()
    with pytest.raises(ServiceUnavailable):
        await tokens.authenticate(other, CALLER)
    bus.replies[AuthenticateClientToken] = identity()
    await tokens.authenticate(other, CALLER)


@pytest.mark.parametrize(
    "token",
    ["", "a", "a.b.c", "é.é.é", f"{part({'typ': 'JWT'})}.x.y", f"{part([])}.x.y", f"{part(1)}..", "=.=."],
)
def test_other_tokens_are_not_taken_for_a_clients(token):
    assert not is_client_token(token)
    assert read_client_id(token) == ""


def test_clients_token_is_recognized():
    assert is_client_token(TOKEN)
    assert read_client_id(TOKEN) == CLIENT
