"""The usage counters in a real Redis."""

from contextlib import suppress
from datetime import UTC, datetime

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.clock import new_id
from artcafe_common.contracts.metering import UsageEntry
from artcafe_metering.store import open_counters
from support.waiting import eventually

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


async def test_busiest_clients_are_listed_by_every_version_of_redis(new_stack):
    tenant = new_id()
    entries = [
        UsageEntry(tenant_id=tenant, client_id=f"c{messages}", messages=messages, bytes_in=messages)
        for messages in (2, 30, 7)
    ]
    async with (
        new_stack(servers=("redis",)) as stack,
        open_counters(stack.environ()["REDIS_URL"]) as counters,
    ):
        await eventually(lambda: is_reachable(counters))
        await counters.apply_gateway_batch(new_id(), AT, entries, [])
        # As of Redis 6, until the version is known.
        listed = [(await counters.live_counters(tenant, [AT], [AT])).clients]
        await counters.unrecovered_tenants([tenant])
        listed.append((await counters.live_counters(tenant, [AT], [AT])).clients)
    assert [list(clients) for clients in listed] == [["c30", "c7", "c2"]] * 2
    assert listed[0] == listed[1]
    assert listed[0]["c7"]["messages"] == listed[0]["c7"]["bytes_in"] == 7


async def is_reachable(counters):
    with suppress(StoreUnavailable):
        await counters.active_tenants(AT.date())
        return True
