"""Which connections end when an organization has more than its plan allows."""

from artcafe_common.contracts.presence import Transport
from artcafe_presence.connection_limit import select_excess
from artcafe_presence.records import TenantConnection, parse_nats_connection_id


def connection(number, at, transport=Transport.NATS):
    return TenantConnection(id=f"nats:S:{number}", transport=transport, connected_at=at)


def test_newest_connections_end_whatever_their_transport():
    old = [connection(n, at=100 + n) for n in range(3)]
    newest = connection(9, at=300)
    newer = connection(8, at=200, transport=Transport.WEBSOCKET)
    assert select_excess([newest, *old, newer], 3) == [newer, newest]


def test_nothing_ends_within_the_limit():
    connections = [connection(n, at=n) for n in range(5)]
    assert select_excess(connections, 5) == []
    assert select_excess([], 5) == []


def test_connection_id_names_server_and_connection():
    assert parse_nats_connection_id("nats:NABC:12") == ("NABC", 12)
