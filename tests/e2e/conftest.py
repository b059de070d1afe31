"""Fixtures of the end-to-end tests."""

import httpx
import pytest

from support.actors import User
from support.example_tenant import ExampleTenant


@pytest.fixture
async def http(stack):
    """An HTTP client without a token."""
    async with httpx.AsyncClient(base_url=stack.api, timeout=20) as client:
        yield client


@pytest.fixture
async def separate_stack(new_stack):
    """A stack of this test only."""
    async with new_stack() as stack:
        yield stack


@pytest.fixture(scope="module")
async def example(stack):
    """An organization with one resource of each kind, shared by the tests of a module."""
    tenant = await (await User.sign_up(stack)).create_organization()
    headers = {**tenant.http.headers}
    # The usual HTTP client is closed after each test.
    async with httpx.AsyncClient(base_url=tenant.http.base_url, timeout=20, headers=headers) as http:
        tenant.http = http
        yield await ExampleTenant.create(tenant)
