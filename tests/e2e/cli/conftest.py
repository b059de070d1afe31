"""A logged-in terminal, and a separate stack."""

import pytest

from support.cli import Terminal


@pytest.fixture
async def terminal(tenant, tmp_path):
    """Logged in as the organization's owner."""
    return await Terminal.signed_in(tenant, tmp_path / "terminal")


@pytest.fixture(scope="module")
async def separate_stack(new_stack):
    """A stack whose servers and services the tests stop."""
    async with new_stack() as stack:
        yield stack
