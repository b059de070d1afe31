"""Sends invalid frames, and checks that no other socket is affected."""

import json

import httpx

INVALID_FRAME_IDS = (1.5, True, [], {}, "x" * 129, 2**63, -(2**63), 10**100)


class Bystander:
    """A socket of the same organization that must not be affected."""

    def __init__(self, tenant, socket):
        self.tenant = tenant
        self.socket = socket
        self.bridge_connections = None

    @classmethod
    async def connect(cls, tenant):
        bystander = cls(tenant, await (await tenant.create_client()).connect_websocket())
        await bystander.socket.subscribe(subject="calm.*")
        bystander.bridge_connections = await bystander.list_bridge_connections()
        return bystander

    async def list_bridge_connections(self):
        """The broker's connection ids of the bridge into the organization."""
        async with httpx.AsyncClient() as http:
            url = f"http://127.0.0.1:{self.tenant.stack.ports.nats_monitor}/connz?auth=1&limit=10000"
            connections = (await http.get(url)).json()["connections"]
        bridges = [
            c
            for c in connections
            if c.get("name", "").startswith("gateway") and self.tenant.id in json.dumps(c)
        ]
        assert bridges
        return {c["cid"] for c in bridges}

    async def assert_undisturbed(self):
        """It still receives its own messages, nothing else, and over the same bridge."""
        assert self.socket.pending("error") == []
        await self.socket.send(type="publish", subject="calm.down", data="calm", id="calm")
        await self.socket.receive("published", id="calm")
        assert (await self.socket.receive("message"))["data"] == "calm"
        assert self.socket.pending("message") == []
        assert await self.list_bridge_connections() == self.bridge_connections


async def assert_frame_rejected(socket, frame, code=None):
    """Send a frame that must be answered with an error, which repeats the frame's id if that is valid."""
    await socket.ws.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))
    error = await socket.receive("error")
    codes = (code,) if isinstance(code, str) else code
    assert codes is None or error["code"] in codes, (str(frame)[:300], error)
    assert error["message"]
    if isinstance(frame, dict):
        frame_id = frame.get("id") if not _is_invalid_id(frame.get("id")) else None
        assert error.get("id") == frame_id, (str(frame)[:300], error)
    return error


def _is_invalid_id(value):
    return any(value is bad or (type(value) is type(bad) and value == bad) for bad in INVALID_FRAME_IDS)
