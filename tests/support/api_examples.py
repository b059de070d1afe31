"""A valid example of every REST request and every WebSocket frame."""

API = "/api/v1"
# A well-formed id that no resource has.
UNKNOWN_ID = "01JADAR0000000000000000000"
SSH_PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEZpYT5JQ/HGwWYOtn5QDC328aH9Df5LF4R/SXqmkaM7"
# A valid body for each route, None where it has no body. A test fails while a route is missing here.
ROUTES = {
    "POST /auth/login": {"email": "nobody@example.com", "password": "wrong"},
    "POST /auth/refresh": {"refresh_token": "wrong"},
    "POST /auth/logout": None,
    "POST /auth/client/challenge": {"client_id": "wrong"},
    "POST /auth/client/token": {"client_id": "wrong", "nonce": "wrong", "signature": "wrong"},
    "POST /auth/agent/challenge": {"agent_id": "wrong"},
    "POST /auth/agent/verify": {"agent_id": "wrong", "challenge": "wrong", "signature": "wrong"},
    "GET /accounts": None,
    "POST /accounts": {"name": "x", "description": "", "metadata": {}},
    "GET /accounts/{account_id}": None,
    "PUT /accounts/{account_id}": {"name": "x", "description": "", "metadata": {}},
    "DELETE /accounts/{account_id}": None,
    "POST /accounts/{account_id}/restore": None,
    "GET /accounts/{account_id}/export": None,
    "POST /accounts/generate-nkey/{account_id}": None,
    "GET /accounts/{account_id}/signing-keys": None,
    "DELETE /accounts/{account_id}/signing-keys/{nkey_public}": None,
    "GET /accounts/{account_id}/members": None,
    "POST /accounts/{account_id}/members": {"user_id": "u1", "email": "u@example.com", "role": "viewer"},
    "PUT /accounts/{account_id}/members/{user_id}": {"role": "member"},
    "DELETE /accounts/{account_id}/members/{user_id}": None,
    "GET /accounts/{account_id}/invitations": None,
    "POST /accounts/{account_id}/invitations": {"email": "u@example.com", "role": "viewer"},
    "DELETE /accounts/{account_id}/invitations/{invitation_id}": None,
    "GET /invitations": None,
    "POST /invitations/{invitation_id}/accept": None,
    "POST /invitations/{invitation_id}/decline": None,
    "GET /clients": None,
    "POST /clients": {"name": "x", "permissions": {"publish": ["a"], "subscribe": []}, "metadata": {}},
    "GET /clients/{client_id}": None,
    "PUT /clients/{client_id}": {"name": "y", "status": "active", "permissions": {}, "metadata": {}},
    "DELETE /clients/{client_id}": None,
    "POST /clients/{client_id}/regenerate-nkey": None,
    "POST /clients/{client_id}/permissions/test": {"action": "publish", "subject": "orders.new"},
    "GET /clients/{client_id}/status": None,
    "GET /clients/{client_id}/connections": None,
    "GET /clients/{client_id}/agent-card": None,
    "GET /agents": None,
    "POST /agents": {"name": "x", "key_type": "ed25519", "description": "", "metadata": {}},
    "GET /agents/status/summary": None,
    "GET /agents/{agent_id}": None,
    "GET /agents/{agent_id}/status": None,
    "PUT /agents/{agent_id}": {"name": "y", "status": "active", "public_key": SSH_PUBLIC_KEY, "metadata": {}},
    "DELETE /agents/{agent_id}": None,
    "GET /agents/{agent_id}/challenge": None,
    "GET /channels": None,
    "POST /channels": {"name": "x", "description": "", "metadata": {}},
    "GET /channels/{channel_id}": None,
    "PUT /channels/{channel_id}": {"name": "z", "description": "", "metadata": {}},
    "DELETE /channels/{channel_id}": None,
    # Any JSON is a valid body; tests/e2e/rest/test_publish.py tests it.
    "POST /channels/{channel_id}/messages": None,
    "GET /channels/{channel_id}/messages": None,
    "GET /channels/{channel_id}/events": None,
    "GET /channels/{channel_id}/subscribers": None,
    "GET /channels/{channel_id}/storage": None,
    "POST /channels/{channel_id}/purge": None,
    "GET /subjects": None,
    "POST /subjects": {"name": "x", "pattern": "x", "description": "", "metadata": {}},
    "GET /subjects/{subject_id}": None,
    "GET /subjects/{subject_id}/messages": None,
    "PUT /subjects/{subject_id}": {"name": "z", "pattern": "z", "description": "", "metadata": {}},
    "DELETE /subjects/{subject_id}": None,
    "GET /usage/metrics": None,
    "GET /usage/current": None,
    "GET /usage/hourly": None,
    "GET /usage/top": None,
    "GET /usage/refusals": None,
    "GET /usage/local/stats": None,
    "GET /usage/clients/{client_id}": None,
    "GET /usage/channels/{channel_id}": None,
    "GET /plans": None,
    "GET /connections": None,
    "GET /roster": None,
    "DELETE /connections/{connection_id}": None,
    "GET /activity/logs": None,
    "GET /activity/summary": None,
    "GET /activity/export": None,
    "GET /status": None,
    "GET /profile/me": None,
    "PUT /profile/me": {"name": "x", "avatar_url": "https://example.com/a.png"},
    "GET /profile/preferences": None,
    "PUT /profile/preferences": {
        "theme": "dark",
        "language": "en",
        "timezone": "UTC",
        "notifications": {"email": False},
    },
    "GET /health": None,
    "GET /health/live": None,
    "GET /health/ready": None,
    "GET /metrics": None,
}
# A successful response of these does not end.
ENDLESS = {"GET /channels/{channel_id}/events"}

# A valid frame of each type, without `type` and `id`. A test fails while a type is missing here.
CLIENT_FRAMES = {
    "heartbeat": {"timestamp": 1, "status": "busy", "metrics": {"a": 1}},
    "ping": {},
    "subscribe": {"subject": "frames.here"},
    "unsubscribe": {"subject": "frames.here"},
    "publish": {"subject": "frames.gone", "data": 1, "headers": {"a": "b"}},
    "request": {"subject": "frames.nobody", "data": 1, "timeout_ms": 1000},
    "presence": {"status": "busy", "capabilities": [1], "metadata": {"a": 1}},
    "roster": {"name": "nobody"},
}
DASHBOARD_FRAMES = {
    "ping": {},
    "subscribe_channel": {"channel_id": "{channel_id}"},
    "unsubscribe_channel": {"channel_id": "{channel_id}"},
    "subscribe_topic_preview": {"pattern": "frames.>", "sample": 0.5},
    "unsubscribe_topic_preview": {},
}


async def served_routes(tenant):
    """The running gateway's routes under `/api/v1`."""
    paths = (await tenant.http.get(f"{tenant.stack.api}/schema/openapi.json")).json()["paths"]
    return {
        f"{method.upper()} {path.removeprefix(API).rstrip('/')}"
        for path, item in paths.items()
        if path.startswith(API)
        for method in item
    }
