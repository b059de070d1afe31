"""A NATS user that an organization issued itself cannot pose as one of its clients."""

import asyncio

from support.signing_keys import account_of, connect_minted_user
from support.waiting import QUIET_PERIOD_S, eventually

MESSAGES = 7


async def test_user_that_names_a_client_in_connect_shows_up_nowhere_as_it(tenant):
    victim = await tenant.create_client()
    account = await account_of(await (await tenant.create_client()).connect_nats())
    key = await tenant.call("POST", f"/accounts/generate-nkey/{tenant.id}", 201)
    posing = await connect_minted_user(tenant.stack, account, key["nkey_seed"], user=victim.id)
    await posing.publish(f"_heartbeat.{tenant.id}.{victim.id}", b"{}")
    await posing.publish(f"_METRICS.tenant.{tenant.id}.client.{victim.id}", b'{"forged": 1}')
    for _ in range(MESSAGES):
        await posing.publish(f"{tenant.id}.x", b"1")
    await posing.flush()

    async def counted():
        used = (await tenant.call("GET", "/usage/current", 200))["messages"]["used"]
        return used == MESSAGES + 1  # and the request of `account_of`

    # The messages are the organization's, but not the client's.
    await eventually(counted, within=20)
    stats = await tenant.call("GET", "/usage/local/stats", 200)
    assert [each["messages"] for each in stats["clients"] if each["client_id"] == victim.id] in ([], [0])
    status = await tenant.call("GET", f"/clients/{victim.id}/status", 200)
    assert (status["status"], status["last_seen"], status["connections"]) == ("offline", None, [])
    assert status.get("metrics") is None
    # The revocation of the client ends the client's connections only.
    await tenant.call("POST", f"/clients/{victim.id}/regenerate-nkey", 200)
    await asyncio.sleep(QUIET_PERIOD_S)
    assert posing.is_connected
