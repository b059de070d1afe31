"""Calls and WebSocket frames for systems that run in containers."""

import asyncio
import base64
import json

from artcafe_common.broker.nkeys import KeyPair


async def call(http, method, path, status, **options):
    """Call the API; returns the body of the response, whose status must be this."""
    response = await http.request(method, path, **options)
    assert response.status_code == status, (response.status_code, response.text)
    return response.json()


async def authenticate(ws, seed):
    """Sign the challenge of a WebSocket with a client's seed; returns the `welcome`."""
    pair = KeyPair(seed)
    nonce = (await receive(ws, "challenge"))["nonce"]
    signature = base64.urlsafe_b64encode(pair.sign(nonce.encode())).rstrip(b"=").decode()
    await ws.send(json.dumps({"type": "auth", "nkey": pair.public, "signature": signature}))
    return await receive(ws, "welcome")


async def receive(ws, *kinds, within=10):
    """The next frame of one of these types."""
    async with asyncio.timeout(within):
        while True:
            frame = json.loads(await ws.recv())
            if frame["type"] in kinds:
                return frame
