"""The one stack that the tests share: real servers and services on ports of their own."""

import pytest
from hypothesis import HealthCheck, settings

from artcafe_common.dev.stack import Stack
from support.stack import free_ports
from support.actors import Person, close_all

# Examples are bounded in number; how long one takes says only how busy the machine is.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
async def stack(tmp_path_factory):
    """The whole system, seeded; tests make organizations of their own in it."""
    running = Stack(tmp_path_factory.mktemp("stack"), free_ports())
    try:
        await running.up()
        yield running
    finally:
        await running.down()


@pytest.fixture
async def tenant(stack):
    """A new organization with its founder."""
    return await (await Person.sign_up(stack)).found()


@pytest.fixture
async def stranger(stack):
    """Another new organization, of somebody else."""
    return await (await Person.sign_up(stack)).found("Other")


@pytest.fixture(autouse=True)
async def tidy():
    """Close whatever the test opened."""
    yield
    await close_all()
