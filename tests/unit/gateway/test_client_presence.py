"""The presence of the clients on a page."""

from datetime import UTC, datetime, timedelta

import pytest

from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.contracts.identity.clients import Permissions
from artcafe_common.contracts.presence import (
    ClientHealth,
    ClientPresence,
    ClientPresences,
    GetPresences,
    ListOnlineClients,
    OnlineClient,
    OnlineClients,
)
from artcafe_common.contracts.tenancy.clients import Client, Clients, ClientStatus, ListClients
from artcafe_gateway.reporting.client_presence import apply_online, read_with_online
from support.fakes.bus import FakeBus
from support.fakes.ids import TENANT

STORED = datetime(2026, 1, 1, tzinfo=UTC)
SEEN = STORED + timedelta(hours=1)
CALLER = CallerContext(request_id="r", tenant_id=TENANT)
ONLINE, OFFLINE, SUSPENDED = ClientStatus.ONLINE, ClientStatus.OFFLINE, ClientStatus.SUSPENDED


def client(client_id, status):
    return Client(
        client_id=client_id,
        tenant_id=TENANT,
        name=client_id,
        nkey_public="U",
        permissions=Permissions(),
        status=status,
        last_seen=STORED,
        metadata={},
        created_at=STORED,
        updated_at=STORED,
    )


def online(*client_ids):
    return OnlineClients(
        complete=True, clients=[OnlineClient(client_id=each, last_seen=SEEN) for each in client_ids]
    )


def presences(request):
    return ClientPresences(
        clients=[
            ClientPresence(
                client_id=each, online=each.startswith("on"), health=ClientHealth.HEALTHY, last_seen=SEEN
            )
            for each in request.client_ids
        ]
    )


async def list_states(stored, online_clients):
    """The states of the listed clients, and the ids whose presence was requested."""
    bus = FakeBus(
        {
            ListClients: Clients(clients=[client(*each) for each in stored.items()], next_cursor=None),
            ListOnlineClients: online_clients,
            GetPresences: presences,
        }
    )
    page, found = await read_with_online(bus, bus.call(ListClients()), CALLER)
    listed = await apply_online(bus, page.clients, found, CALLER)
    requested = [call.client_ids for call in bus.calls if isinstance(call, GetPresences)]
    return [(each.status, each.last_seen) for each in listed], requested


async def test_status_is_that_of_presence():
    states, requested = await list_states(
        {"on-1": OFFLINE, "off-1": OFFLINE, "on-2": ONLINE, "on-3": SUSPENDED}, online("on-1", "on-2", "on-3")
    )
    assert states == [(ONLINE, SEEN), (OFFLINE, STORED), (ONLINE, SEEN), (SUSPENDED, SEEN)]
    assert requested == []


async def test_client_that_just_went_offline_is_requested_by_id():
    states, requested = await list_states({"off-1": ONLINE, "off-2": OFFLINE}, online())
    assert states == [(OFFLINE, SEEN), (OFFLINE, STORED)]
    assert requested == [["off-1"]]


async def test_clients_of_an_organization_with_many_connections_are_requested_by_id():
    states, requested = await list_states({"on-1": OFFLINE, "off-1": ONLINE}, OnlineClients(complete=False))
    assert states == [(ONLINE, SEEN), (OFFLINE, SEEN)]
    assert requested == [["on-1", "off-1"]]


async def test_stored_status_is_shown_without_presence():
    states, requested = await list_states({"on-1": OFFLINE, "off-1": ONLINE}, ServiceUnavailable())
    assert states == [(OFFLINE, STORED), (ONLINE, STORED)]
    assert requested == []


async def test_error_of_the_page_is_raised():
    bus = FakeBus({ListClients: ServiceUnavailable(), ListOnlineClients: online()})
    with pytest.raises(ServiceUnavailable):
        await read_with_online(bus, bus.call(ListClients()), CALLER)
