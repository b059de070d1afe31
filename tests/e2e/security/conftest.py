"""An organization that another one must not be able to reach."""

import pytest

from support.isolation import undisturbed


@pytest.fixture
async def victim(tenant):
    """After the test, its data must be unchanged and its sockets must have received nothing foreign."""
    async with undisturbed(tenant) as prepared:
        yield prepared
