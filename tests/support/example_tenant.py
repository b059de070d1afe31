"""An organization with one resource of each kind."""

from support.api_examples import API, SSH_PUBLIC_KEY, UNKNOWN_ID
from support.problems import assert_problem


class ExampleTenant:
    """`ids` has a real id for every parameter in a route, except for connections."""

    def __init__(self, tenant, ids):
        self.tenant = tenant
        self.ids = ids

    @classmethod
    async def create(cls, tenant):
        client, channel = await tenant.create_client(), await tenant.create_channel()
        body = {"name": "old", "public_key": SSH_PUBLIC_KEY}
        agent = await tenant.call("POST", "/agents", 201, json=body)
        subject = await tenant.call("POST", "/subjects", 201, json={"name": "S", "pattern": "s.>"})
        member = {"user_id": "somebody", "role": "viewer"}
        await tenant.call("POST", f"/accounts/{tenant.id}/members", 201, json=member)
        key = await tenant.call("POST", f"/accounts/generate-nkey/{tenant.id}", 201)
        invited = {"email": "somebody@example.com"}
        invitation = await tenant.call("POST", f"/accounts/{tenant.id}/invitations", 201, json=invited)
        ids = {
            "account_id": tenant.id,
            "user_id": "somebody",
            "client_id": client.id,
            "agent_id": agent["agent"]["agent_id"],
            "channel_id": channel["channel_id"],
            "subject_id": subject["subject_id"],
            "nkey_public": key["nkey_public"],
            "invitation_id": invitation["invitation_id"],
            # A live connection would end with the first test.
            "connection_id": UNKNOWN_ID,
        }
        return cls(tenant, ids)

    async def send(self, route, content=None, **ids):
        """Send a request without normalizing its URL; errors must be complete problem documents below 500."""
        method, _, path = route.partition(" ")
        target = (API + path.format(**{**self.ids, **ids})).encode()
        headers = {} if content is None else {"Content-Type": "application/json"}
        request = self.tenant.http.build_request(method, "/", content=content, headers=headers)
        request.extensions["target"] = target
        response = await self.tenant.http.send(request)
        assert response.status_code < 500, (route, ids, str(content)[:200], response.text)
        assert response.headers["x-request-id"]
        if response.status_code >= 400:
            assert_problem(response)
        return response
