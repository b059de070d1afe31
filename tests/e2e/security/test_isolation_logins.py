"""Logins of one organization at the WebSockets of another."""

import asyncio
import contextlib
import json
from urllib.parse import urlencode

import httpx
import pytest
from websockets.asyncio.client import connect

from artcafe_common.broker.nkeys import KeyKind, create
from support.agents import LegacyAgent
from support.command_spy import CommandSpy
from support.isolation import undisturbed, unknown_ids
from support.waiting import eventually


@pytest.fixture
async def victim(tenant):
    async with undisturbed(tenant) as prepared:
        yield prepared


async def knock(url, *, first=None, headers=None, subprotocols=None):
    """What a socket is told until it is closed, and with which code; `first` answers a challenge."""
    ws = await connect(url, additional_headers=headers, subprotocols=subprotocols)
    told = []
    with contextlib.suppress(Exception):
        async with asyncio.timeout(5):
            async for text in ws:
                frame = json.loads(text)
                nonce = frame.pop("nonce", None)
                told.append(frame)
                if nonce and first:
                    await ws.send(json.dumps({"type": "auth", **first(nonce)}))
    if ws.close_code is None:
        await ws.close()
        return told, "open"
    return told, (ws.close_code, ws.close_reason)


async def test_every_socket_of_anothers(stack, victim, other_tenant):
    spy = await CommandSpy.attach(stack)
    agent, legacy = await other_tenant.create_client("a stranger"), await LegacyAgent.register(other_tenant)
    token, root = await legacy.request_token(), f"ws://127.0.0.1:{stack.ports.api}"
    bearer = {"Authorization": f"Bearer {token}"}
    person = other_tenant.owner.token
    tries = {}

    def claiming(public):
        return lambda nonce: {**agent.sign_nonce(nonce), "nkey": public}

    async def asked(path, **body):
        async with httpx.AsyncClient(base_url=f"{stack.api}/api/v1", timeout=20) as http:
            return (await http.post(path, json=body)).json()

    async def tried(name, ids):
        client = f"{root}/ws/client/{ids['client_id']}"
        other = f"{root}/ws/agent/{ids['agent_id']}"
        board = f"{root}/ws/dashboard?tenant_id={ids['account_id']}"
        yield "own key", await knock(client, first=agent.sign_nonce)
        yield "own key, api", await knock(client.replace("/ws/", "/api/v1/ws/"), first=agent.sign_nonce)
        yield "another key", await knock(client, first=claiming(name["nkey"]))
        yield (
            "an agent's id",
            await knock(client.replace(ids["client_id"], ids["agent_id"]), first=agent.sign_nonce),
        )
        for whose in (ids["client_id"], agent.id):
            nonce = (await asked("/auth/client/challenge", client_id=whose))["nonce"]
            proof = {"nonce": nonce, "signature": agent.sign_nonce(nonce)["signature"]}
            yield f"a nonce of {whose == agent.id}", await knock(f"{client}?{urlencode(proof)}")
        for tenant_id in (ids["account_id"], other_tenant.id, None):
            chosen = {} if tenant_id is None else {"tenant_id": tenant_id}
            where = f"{other}?{urlencode(chosen)}"
            yield f"agent's token {tenant_id == other_tenant.id}", await knock(where, headers=bearer)
            for whose in (ids["agent_id"], legacy.id):
                challenge = (await asked("/auth/agent/challenge", agent_id=whose))["challenge"]
                proof = {"challenge": challenge, "signature": legacy.sign(challenge), **chosen}
                yield f"a challenge {whose == legacy.id}", await knock(f"{other}?{urlencode(proof)}")
        yield (
            "a client's id",
            await knock(f"{root}/ws/agent/{ids['client_id']}", headers={"Authorization": f"Bearer {person}"}),
        )
        # Its own agent, in the organization of another.
        yield (
            "at home, but away",
            await knock(f"{root}/ws/agent/{legacy.id}?tenant_id={ids['account_id']}", headers=bearer),
        )
        yield "a dashboard", await knock(board, subprotocols=["bearer", person])
        yield "a dashboard, url", await knock(f"{board}&token={person}")
        header = {"X-Tenant-Id": ids["account_id"], "Authorization": f"Bearer {person}"}
        yield "a dashboard, header", await knock(f"{root}/ws/dashboard", headers=header)
        yield "a dashboard, agent", await knock(board, headers=bearer)
        yield "a dashboard, junk", await knock(board, subprotocols=["bearer", "junk"])

    none = unknown_ids()
    keys = {"client": victim.agent.record["nkey_public"], "none": create(KeyKind.USER).public}
    for kind, ids in (("client", victim.ids), ("none", none)):
        tries[kind] = [each async for each in tried({"nkey": keys[kind]}, ids)]
    assert tries["client"] == tries["none"]
    for name, (told, ended) in tries["client"]:
        code = told[-1]["code"]
        wanted = (4403, "forbidden") if code == "forbidden" else (4401, code)
        assert ended == wanted, (name, told, ended)
        assert code in ("authentication_failed", "invalid_token", "forbidden"), (name, told)

    async def alike():
        await spy.flush()
        names = ("account_id", "client_id", "agent_id")
        return all(
            spy.subjects_containing(victim.ids[name]) == spy.subjects_containing(none[name]) for name in names
        )

    # Who is to be told of it is found out later.
    await eventually(alike)
