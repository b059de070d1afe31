"""Logins at the WebSockets of another organization."""

import asyncio
import contextlib
import json
from urllib.parse import urlencode

import httpx
from websockets.asyncio.client import connect

from artcafe_common.broker.nkeys import KeyKind, create_key_pair
from support.agents import LegacyAgent
from support.command_spy import CommandSpy
from support.isolation import unknown_ids
from support.waiting import eventually


async def attempt_login(url, *, sign_nonce=None, headers=None, subprotocols=None):
    """The frames until the close, without nonces, and the close code; `sign_nonce` answers a challenge."""
    ws = await connect(url, additional_headers=headers, subprotocols=subprotocols)
    frames = []
    with contextlib.suppress(Exception):
        async with asyncio.timeout(5):
            async for text in ws:
                frame = json.loads(text)
                nonce = frame.pop("nonce", None)
                frames.append(frame)
                if nonce and sign_nonce:
                    await ws.send(json.dumps({"type": "auth", **sign_nonce(nonce)}))
    if ws.close_code is None:
        await ws.close()
        return frames, "open"
    return frames, (ws.close_code, ws.close_reason)


class Intruder:
    """A client, an agent and a user of one organization, which log in to another."""

    def __init__(self, stack, tenant, client, agent, agent_token):
        self.root = f"ws://127.0.0.1:{stack.ports.api}"
        self.api = f"{stack.api}/api/v1"
        self.tenant = tenant
        self.client = client
        self.agent = agent
        self.agent_bearer = {"Authorization": f"Bearer {agent_token}"}
        self.user_token = tenant.owner.token
        self.user_bearer = {"Authorization": f"Bearer {self.user_token}"}

    @classmethod
    async def create(cls, stack, tenant):
        client, agent = await tenant.create_client("a stranger"), await LegacyAgent.register(tenant)
        return cls(stack, tenant, client, agent, await agent.request_token())

    async def attempt_all(self, ids, public_key):
        """Every login as (description, frames and close code)."""
        return [
            *[each async for each in self.attempt_client_logins(ids, public_key)],
            *[each async for each in self.attempt_agent_logins(ids)],
            *[each async for each in self.attempt_dashboard_logins(ids)],
        ]

    async def attempt_client_logins(self, ids, public_key):
        """`public_key` is the key of the foreign client."""
        sign = self.client.sign_nonce
        url = f"{self.root}/ws/client/{ids['client_id']}"
        yield "own key", await attempt_login(url, sign_nonce=sign)
        yield "own key, /api/v1", await attempt_login(url.replace("/ws/", "/api/v1/ws/"), sign_nonce=sign)
        yield (
            "foreign key, own signature",
            await attempt_login(url, sign_nonce=lambda nonce: {**sign(nonce), "nkey": public_key}),
        )
        agent_url = url.replace(ids["client_id"], ids["agent_id"])
        yield "id of an agent", await attempt_login(agent_url, sign_nonce=sign)
        for client_id in (ids["client_id"], self.client.id):
            nonce = (await self._request("/auth/client/challenge", client_id=client_id))["nonce"]
            query = urlencode({"nonce": nonce, "signature": sign(nonce)["signature"]})
            yield f"own nonce: {client_id == self.client.id}", await attempt_login(f"{url}?{query}")

    async def attempt_agent_logins(self, ids):
        url = f"{self.root}/ws/agent/{ids['agent_id']}"
        for tenant_id in (ids["account_id"], self.tenant.id, None):
            chosen = {} if tenant_id is None else {"tenant_id": tenant_id}
            yield (
                f"own token, own tenant: {tenant_id == self.tenant.id}",
                await attempt_login(f"{url}?{urlencode(chosen)}", headers=self.agent_bearer),
            )
            for agent_id in (ids["agent_id"], self.agent.id):
                challenge = (await self._request("/auth/agent/challenge", agent_id=agent_id))["challenge"]
                query = {"challenge": challenge, "signature": self.agent.sign(challenge), **chosen}
                yield (
                    f"own challenge: {agent_id == self.agent.id}",
                    await attempt_login(f"{url}?{urlencode(query)}"),
                )
        client_url = f"{self.root}/ws/agent/{ids['client_id']}"
        yield "id of a client, user token", await attempt_login(client_url, headers=self.user_bearer)
        own_url = f"{self.root}/ws/agent/{self.agent.id}?tenant_id={ids['account_id']}"
        yield "own agent, foreign tenant", await attempt_login(own_url, headers=self.agent_bearer)

    async def attempt_dashboard_logins(self, ids):
        url = f"{self.root}/ws/dashboard?tenant_id={ids['account_id']}"
        yield "token as subprotocol", await attempt_login(url, subprotocols=["bearer", self.user_token])
        yield "token in URL", await attempt_login(f"{url}&token={self.user_token}")
        headers = {"X-Tenant-Id": ids["account_id"], **self.user_bearer}
        yield "tenant in header", await attempt_login(f"{self.root}/ws/dashboard", headers=headers)
        yield "token of an agent", await attempt_login(url, headers=self.agent_bearer)
        yield "invalid token", await attempt_login(url, subprotocols=["bearer", "junk"])

    async def _request(self, path, **body):
        async with httpx.AsyncClient(base_url=self.api, timeout=20) as http:
            return (await http.post(path, json=body)).json()


async def test_foreign_ids_at_logins_are_indistinguishable_from_unknown_ids(stack, victim, other_tenant):
    spy = await CommandSpy.attach(stack)
    intruder = await Intruder.create(stack, other_tenant)
    unknown = unknown_ids()
    foreign_logins = await intruder.attempt_all(victim.ids, victim.agent.record["nkey_public"])
    unknown_logins = await intruder.attempt_all(unknown, create_key_pair(KeyKind.USER).public)
    assert foreign_logins == unknown_logins
    for name, (frames, closed) in foreign_logins:
        code = frames[-1]["code"]
        expected = (4403, "forbidden") if code == "forbidden" else (4401, code)
        assert closed == expected, (name, frames, closed)
        assert code in ("authentication_failed", "invalid_token", "forbidden"), (name, frames)

    async def same_commands():
        await spy.flush()
        names = ("account_id", "client_id", "agent_id")
        return all(
            spy.subjects_containing(victim.ids[name]) == spy.subjects_containing(unknown[name])
            for name in names
        )

    # The organization that records a denial is looked up in the background.
    await eventually(same_commands)
