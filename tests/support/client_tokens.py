"""Bearer tokens of clients."""

import httpx

from support.cleanup import close_after_test


async def sign_challenge(client):
    challenge = await client.tenant.call("POST", "/auth/client/challenge", 200, json={"client_id": client.id})
    signature = client.sign_nonce(challenge["nonce"])["signature"]
    return {"client_id": client.id, "nonce": challenge["nonce"], "signature": signature}


async def connect_rest(client, **fields):
    """The REST API with a token of the client."""
    body = {**await sign_challenge(client), **fields}
    issued = await client.tenant.call("POST", "/auth/client/token", 200, json=body)
    http = httpx.AsyncClient(
        base_url=client.tenant.http.base_url,
        timeout=20,
        headers={"Authorization": f"Bearer {issued['token']}"},
    )
    close_after_test(http, http.aclose)
    return http
