"""An organization with one resource of each kind."""

import httpx
import pytest

from support.actors import User
from support.example_tenant import ExampleTenant


@pytest.fixture(scope="module")
async def example(stack):
    """Shared by the tests of a module."""
    tenant = await (await User.sign_up(stack)).create_organization()
    headers = {**tenant.http.headers}
    # The usual HTTP client is closed after each test.
    async with httpx.AsyncClient(base_url=tenant.http.base_url, timeout=20, headers=headers) as http:
        tenant.http = http
        yield await ExampleTenant.create(tenant)
