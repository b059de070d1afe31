"""A suspended organization is disconnected and refused, and keeps everything; it resumes as it was."""

import asyncio
import time
from functools import partial

import nats.errors
import pytest

from artcafe_common.broker.connect import connect
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.contracts.tenancy.accounts import AccountStatus, SetAccountStatus
from support.agents import LegacyAgent
from support.cli import Terminal
from support.history import read_history
from support.signing_keys import account_of, connect_minted_user
from support.waiting import eventually


@pytest.fixture
async def set_status(stack, tenant):
    """Changes the status of the organization as `artcafe organization` does."""
    nc = await connect(stack.environ()["NATS_URL"], stack.directory / "keys/admin.creds", name="admin")

    async def change(status):
        command = SetAccountStatus(tenant_id=tenant.id, status=AccountStatus(status))
        return await Bus(nc, service="admin").call(command, caller=CallerContext.service("admin"))

    yield change
    await nc.close()


async def test_suspended_organization_is_disconnected_within_a_second_and_resumes(
    stack, tenant, other_tenant, set_status
):
    client, agent = await tenant.create_client(), await LegacyAgent.register(tenant)
    channel = await tenant.create_channel()
    await tenant.call("POST", f"/channels/{channel['channel_id']}/messages", 202, json={"data": 1})
    token = await agent.request_token()
    bearer = {"Authorization": f"Bearer {token}"}
    bystander = await (await other_tenant.create_client()).connect_websocket()
    closed = [asyncio.Event() for _ in range(2)]

    async def on_closed(event):
        event.set()

    sockets = [
        await client.connect_websocket(),
        await agent.connect_websocket(headers=bearer),
        await tenant.connect_dashboard(),
    ]
    direct = await client.connect_nats(closed_cb=partial(on_closed, closed[0]))
    account = await account_of(direct)
    seed = (await tenant.call("POST", f"/accounts/generate-nkey/{tenant.id}", 201))["nkey_seed"]
    await connect_minted_user(stack, account, seed, closed_cb=partial(on_closed, closed[1]))

    began = time.perf_counter()
    assert (await set_status("suspended")).status is AccountStatus.SUSPENDED
    closes = [await socket.wait_closed(2) for socket in sockets]
    await asyncio.wait_for(asyncio.gather(*(each.wait() for each in closed)), 3)
    seconds = time.perf_counter() - began
    print(f"\ndisconnected after {seconds * 1000:.0f} ms")
    assert closes == [(4403, "account_suspended")] * 3
    assert seconds < 1

    # Whatever a member asks for, but the list of organizations.
    for method, path in (("GET", "/clients"), ("GET", f"/accounts/{tenant.id}"), ("POST", "/channels")):
        response = await tenant.http.request(method, path, json={"name": "x"} if method == "POST" else None)
        assert (response.status_code, response.json()["code"]) == (403, "account_suspended"), path
    listed = (await tenant.http.get("/accounts")).json()["accounts"]
    assert [each["status"] for each in listed] == ["suspended"]
    for attempt in (
        client.connect_websocket,
        lambda: agent.connect_websocket(headers=bearer),
        tenant.connect_dashboard,
    ):
        with pytest.raises(ConnectionError, match="4403"):
            await attempt()
    with pytest.raises(nats.errors.Error):
        await client.connect_nats()
    with pytest.raises((nats.errors.Error, TimeoutError)):
        await connect_minted_user(stack, account, seed)
    assert await bystander.send_and_receive("ping", "pong")

    assert (await set_status("active")).status is AccountStatus.ACTIVE
    await eventually(lambda: _can_connect(client.connect_nats))
    for connect_again in (
        client.connect_websocket,
        lambda: agent.connect_websocket(headers=bearer),
        tenant.connect_dashboard,
    ):
        await connect_again()
    await connect_minted_user(stack, account, seed)
    assert (await read_history(tenant, channel))["messages"][0]["data"] == 1
    logs = (await tenant.call("GET", "/activity/logs", 200, params={"type": "account"}))["logs"]
    assert {"account.suspended", "account.resumed"} <= {each["action"] for each in logs}


async def test_operator_suspends_and_resumes(stack, tenant, tmp_path):
    client = await tenant.create_client()
    terminal = Terminal(tmp_path, **stack.environ())
    suspended = await terminal.run("organization", "suspend", tenant.id)
    assert suspended.out == f"suspended {tenant.id} Acme\n"
    assert (await tenant.http.get("/clients")).json()["code"] == "account_suspended"
    assert (await terminal.run("organization", "resume", tenant.id)).code == 0
    await tenant.call("GET", "/clients", 200)
    await eventually(lambda: _can_connect(client.connect_nats))
    unknown = await terminal.run("organization", "suspend", "01AAAAAAAAAAAAAAAAAAAAAAAA")
    assert unknown.code != 0
    assert "account_not_found" in unknown.err


async def _can_connect(attempt):
    try:
        return await attempt()
    except nats.errors.Error:
        return None
