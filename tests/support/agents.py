"""Legacy agents, which authenticate with an SSH key."""

import base64
import uuid
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from websockets.asyncio.client import connect

from support.actors import Socket


class LegacyAgent:
    """An agent and its private key."""

    def __init__(self, tenant, created, key):
        self.tenant = tenant
        self.id = created["agent"]["agent_id"]
        self.key = key
        self.root = f"ws://127.0.0.1:{tenant.stack.ports.api}"

    @classmethod
    async def register(cls, tenant, *, key=None, name=None, **fields):
        key = key or ed25519.Ed25519PrivateKey.generate()
        body = {"name": name or f"legacy {uuid.uuid4().hex[:8]}", "public_key": to_openssh(key), **fields}
        return cls(tenant, await tenant.call("POST", "/agents", 201, json=body), key)

    def sign(self, challenge, key=None):
        key = key or self.key
        data = challenge.encode()
        if isinstance(key, rsa.RSAPrivateKey):
            return base64.b64encode(key.sign(data, padding.PKCS1v15(), hashes.SHA256())).decode()
        return base64.b64encode(key.sign(data)).decode()

    async def request_challenge(self):
        response = await self.tenant.http.post(
            "/auth/agent/challenge", json={"agent_id": self.id}, headers={"Authorization": ""}
        )
        assert response.status_code == 200, response.text
        return response.json()["challenge"]

    async def signed_challenge(self):
        """A new challenge and its signature."""
        challenge = await self.request_challenge()
        return {"challenge": challenge, "signature": self.sign(challenge)}

    async def request_token(self):
        body = {"agent_id": self.id, "tenant_id": self.tenant.id, **await self.signed_challenge()}
        return (await self.tenant.call("POST", "/auth/agent/verify", 200, json=body))["token"]

    async def connect_websocket(self, *, root="/ws", headers=None, path_id=None, **query):
        """An authenticated WebSocket; by default with a signed challenge and the tenant's id in the URL."""
        if not query and not headers:
            query = {**await self.signed_challenge(), "tenant_id": self.tenant.id}
        url = f"{self.root}{root}/agent/{path_id or self.id}"
        if query:
            url += f"?{urlencode(query)}"
        socket = Socket(await connect(url, additional_headers=headers, max_size=None))
        socket.welcome = await socket.receive("welcome")
        return socket


def to_openssh(key):
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        .decode()
    )


def to_pem(key):
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


async def list_ids(tenant):
    """The ids of the agents on the first page of an organization's list."""
    return [each["agent_id"] for each in await tenant.list_items("/agents")]
