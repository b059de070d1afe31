"""A person creates a limited number of organizations; the limit is the same for any organization."""

from support.actors import User
from support.problems import assert_problem

LIMIT = 10


async def test_person_cannot_create_organizations_without_limit(stack):
    user = await User.sign_up(stack)
    first = await user.create_organization()
    for _ in range(LIMIT - 1):
        await user.create_organization()
    for headers in ({}, {"X-Tenant-Id": first.id}, {"Idempotency-Key": "another"}):
        response = await user.http.post("/accounts", json={"name": "One more"}, headers=headers)
        assert response.status_code == 409
        assert_problem(response)
        assert response.json()["code"] == "organization_limit"
    assert len((await user.http.get("/accounts")).json()["accounts"]) == LIMIT
    # Another person is not affected, and the existing organizations work.
    await (await User.sign_up(stack)).create_organization()
    await first.create_client()
